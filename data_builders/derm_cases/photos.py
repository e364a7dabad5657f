"""What the tables of HAM10000 and PAD-UFES-20 share: a row for each photo, found by its name."""

import os
import sys

from data_builders.grouping import ImageRow
from data_builders.image_files import ImageFolder
from data_builders.reading.tables import stated


def photo_rows(table, folder, bad_images, *, ids, photo_of, label, attributes, unknown):
    """[ImageRow] of the photos there are.

    Args:
      table: `Table` with a row for each photo.
      folder: holds the photos, in whatever sub-folders.
      bad_images: `BadImages` to which a photo is added that is missing.
      ids: names of the columns that say which photo it is; none may be blank.
      photo_of: function of the texts in these columns to (file name, {field of `ImageRow`: text}).
      label: name of the column that states the class.
      attributes: {our name: name of the column}, of which some may be missing.
      unknown: texts of an attribute that say nothing.

    Raises:
      BadData: one line that names file and row.
    """
    places = [table.column(name) for name in ids]
    label_place, attribute_places = table.column(label), table.columns_there(attributes)
    images = ImageFolder(folder, bad_images)
    paths = images.by_stem(f"--manual_dir={folder}")
    rows = []
    for where, fields in table:
        file_name, row = photo_of(*table.needed(where, fields, *places))
        stem, _ = os.path.splitext(file_name)
        file = images.find(paths.get(stem, file_name), where)
        if file:
            rows.append(
                ImageRow(
                    where=where,
                    file=file,
                    label=sys.intern(fields[label_place]),
                    attributes=stated(fields, attribute_places, unknown),
                    **row,
                )
            )
    return rows
