"""HAM10000: dermoscopic photos of pigmented lesions; a case is a lesion."""

from data_builders.derm_cases.photos import photo_rows
from data_builders.grouping import group_rows
from data_builders.reading.tables import Table, find_table, own_folder
from data_builders.schema import BadData

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
    folder = own_folder(folder, _TABLES)
    table = Table(find_table(folder, *_TABLES, instructions=_HOW_TO_GET))
    rows = photo_rows(
        table,
        folder,
        options.bad_images,
        ids=("lesion_id", "image_id"),
        photo_of=_photo,
        label="dx",
        attributes={name: name for name in _ATTRIBUTES},
        unknown=("unknown",),
    )
    if not rows:
        raise BadData(f"{table.path}: no images in it")
    return group_rows(rows, options, class_names=CLASS_NAMES)


def _photo(lesion_id, image_id):
    return f"{image_id}.jpg", {"image": image_id, "case_id": lesion_id}
