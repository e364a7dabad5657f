"""HAM10000: dermoscopic photos of pigmented lesions; a case is a lesion."""

import sys

from data_builders.grouping import ImageRow, group_rows
from data_builders.image_files import ImageFolder
from data_builders.schema import BadData
from data_builders.tables import Table, find_table, own_folder, stated

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
    rows = _rows(table, folder, options.bad_images)
    if not rows:
        raise BadData(f"{table.path}: no images in it")
    return group_rows(rows, options, class_names=CLASS_NAMES)


def _rows(table, folder, bad_images):
    """[ImageRow] of the images there are."""
    lesion, image, label = (table.column(name) for name in ("lesion_id", "image_id", "dx"))
    places = table.columns_there({name: name for name in _ATTRIBUTES})
    images = ImageFolder(folder, bad_images)
    paths = images.by_stem(f"--manual_dir={folder}")
    rows = []
    for where, fields in table:
        lesion_id, name = table.needed(where, fields, lesion, image)
        file = images.find(paths.get(name, f"{name}.jpg"), where)
        if file:
            rows.append(
                ImageRow(
                    where=where,
                    file=file,
                    image=name,
                    case_id=lesion_id,
                    label=sys.intern(fields[label]),
                    attributes=stated(fields, places, unknown=("unknown",)),
                )
            )
    return rows
