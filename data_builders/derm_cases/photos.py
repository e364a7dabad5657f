"""What HAM10000 and PAD-UFES-20 share: a table with a row for each photo, found by its name."""

import os
import sys

from data_builders.grouping import ImageRow, group_rows
from data_builders.image_files import ImageFolder
from data_builders.reading.tables import own_table, stated


def read_photos(folder, options, tables, inside=("*",), *, how_to_get, class_names, **columns):
    """Reads a set as its owners ship it. No image is opened.

    Args:
      folder: holds the table and the photos, in whatever sub-folders; or holds one that does.
      options: `grouping.ReadOptions`.
      tables: file names that the table may have.
      inside: where else the folder of the set may be, as of `own_table`.
      how_to_get: for the message if the table is not there.
      class_names: as of `group_rows`.
      **columns: as of `photo_rows`.

    Returns:
      A `CaseSource`.

    Raises:
      BadData: one line that names the flag, or file and row.
    """
    folder, table = own_table(folder, tables, how_to_get, inside)
    rows = photo_rows(table, folder, options.bad_images, **columns)
    return group_rows(rows, options, named_in=table.path, class_names=class_names)


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
