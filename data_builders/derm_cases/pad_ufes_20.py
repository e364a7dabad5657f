"""PAD-UFES-20: smartphone photos of skin lesions; a case is a lesion of a patient."""

import sys

from data_builders.derm_cases.photos import read_photos

DESCRIPTION = "PAD-UFES-20: 2,298 smartphone photos of 1,891 skin lesions, 6 classes."
CLASS_NAMES = ("ACK", "BCC", "MEL", "NEV", "SCC", "SEK")

_HOW_TO_GET = (
    "it comes with PAD-UFES-20 (Mendeley Data, doi 10.17632/zr7vgbcyr2.1); beside it lies the "
    "folder images with imgs_part_1, imgs_part_2 and imgs_part_3"
)
# Ours: the owners'. What describes household and descent is not taken over.
_ATTRIBUTES = {
    "age": "age",
    "sex": "gender",
    "fitzpatrick": "fitspatrick",
} | {
    name: name
    for name in (
        "region", "diameter_1", "diameter_2", "smoke", "drink", "skin_cancer_history",
        "cancer_history", "itch", "grew", "hurt", "changed", "bleed", "elevation", "biopsed",
    )
}  # fmt: skip


def read(folder, options):
    """Reads PAD-UFES-20 as its owners ship it. No image is opened.

    Args:
      folder: holds metadata.csv and the images, in whatever sub-folders; or holds a folder
        pad_ufes_20 that does.
      options: `grouping.ReadOptions`. There are no studies.

    Returns:
      A `CaseSource`: one class per lesion. A case is called "PAT_1234/567": a number of a
      lesion alone may be that of another patient's too.

    Raises:
      BadData: one line that names the flag, or file and row.
    """
    return read_photos(
        folder, options, ("metadata.csv",), ("pad_ufes_20", "*"), how_to_get=_HOW_TO_GET,
        class_names=CLASS_NAMES, ids=("patient_id", "lesion_id", "img_id"), photo_of=_photo,
        label="diagnostic", attributes=_ATTRIBUTES, unknown=("UNK",),
    )  # fmt: skip


def _photo(patient_id, lesion_id, img_id):
    stem = img_id.removesuffix(".png")  # which some copies leave out
    return f"{stem}.png", {
        "image": img_id,
        "case_id": f"{patient_id}/{lesion_id}",
        "patient_id": sys.intern(patient_id),
    }
