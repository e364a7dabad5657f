"""HAM10000: dermoscopic photos of pigmented lesions; a case is a lesion."""

from data_builders.derm_cases.photos import read_photos

DESCRIPTION = "HAM10000: 10,015 dermoscopic photos of 7,470 pigmented lesions, 7 classes."
CLASS_NAMES = ("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc")

_TABLES = ("HAM10000_metadata", "HAM10000_metadata.csv", "HAM10000_metadata.tab")
_HOW_TO_GET = (
    "it comes with HAM10000 (Harvard Dataverse, doi 10.7910/DVN/DBW86T); beside it lie the folders "
    "HAM10000_images_part_1 and HAM10000_images_part_2"
)
_ATTRIBUTES = ("age", "sex", "localization", "dx_type", "dataset")


def read(folder, options):
    """Reads HAM10000 as its owners, or Kaggle, ship it. No image is opened.

    Args:
      folder: holds HAM10000_metadata (no ending, .csv or .tab) and the images, in whatever
        sub-folders; or holds a folder that does.
      options: `grouping.ReadOptions`. There are no studies and no patients.

    Returns:
      A `CaseSource`: one class per lesion.

    Raises:
      BadData: one line that names the flag, or file and row.
    """
    return read_photos(
        folder, options, _TABLES, how_to_get=_HOW_TO_GET, class_names=CLASS_NAMES,
        ids=("lesion_id", "image_id"), photo_of=_photo, label="dx",
        attributes={name: name for name in _ATTRIBUTES}, unknown=("unknown",),
    )  # fmt: skip


def _photo(lesion_id, image_id):
    return f"{image_id}.jpg", {"image": image_id, "case_id": lesion_id}
