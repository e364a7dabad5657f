"""ISIC 2019, training part: dermoscopic photos of several sources; a case is a lesion."""

import collections
import dataclasses

from data_builders.grouping import ImageRow, group_rows
from data_builders.image_files import ImageFolder
from data_builders.reading.tables import Table, counted, find_table, own_folder, stated
from data_builders.schema import BadData

DESCRIPTION = "ISIC 2019, training part: 25,331 dermoscopic photos, 8 classes, HAM10000 among them."
CLASS_NAMES = ("AK", "BCC", "BKL", "DF", "MEL", "NV", "SCC", "VASC")

_LABELS = "ISIC_2019_Training_GroundTruth.csv"
_METADATA = "ISIC_2019_Training_Metadata.csv"
_HOW_TO_GET = (
    f"{_LABELS}, {_METADATA} and the folder ISIC_2019_Training_Input lie side by side, as the "
    "ISIC challenge of 2019 offers them for download"
)
_ATTRIBUTES = {"age": "age_approx", "sex": "sex", "anatom_site_general": "anatom_site_general"}


def read(folder, options):
    """Reads the training part of ISIC 2019 as its owners ship it. No image is opened.

    Args:
      folder: holds the two CSVs and the images, in whatever sub-folders; or holds a folder
        isic2019 that does.
      options: `grouping.ReadOptions`. There are no studies and no patients.

    Returns:
      A `CaseSource`: one class per lesion; the labels of a lesion that has several are left
      out. An image without a lesion is a case of its own.

    Raises:
      BadData: one line that names the flag, or file and row.
    """
    folder = own_folder(folder, (_LABELS, _METADATA))
    labels = _labels(Table(find_table(folder, _LABELS, instructions=_HOW_TO_GET)))
    table = Table(find_table(folder, _METADATA, instructions=_HOW_TO_GET))
    rows, notes = _rows(table, folder, labels, options.bad_images)
    if labels:
        image, (where, _) = next(iter(labels.items()))
        raise BadData(
            f"{where}: image {image} has no row in {table.path}, so its lesion is not known; "
            "get both files anew"
        )
    rows, left_out = _without_contradictions(rows)
    notes += left_out
    return group_rows(rows, options, named_in=table.path, class_names=CLASS_NAMES, notes=notes)


def _labels(table):
    """{image: (where, class, "" if unknown)} of the one-hot ground truth."""
    image = table.column("image")
    classes = [(table.column(name), name) for name in CLASS_NAMES]
    unknown = table.column("UNK", needed=False)
    if unknown is not None:
        classes.append((unknown, ""))
    labels = {}
    for where, fields in table:
        if fields[image] in labels:
            first, _ = labels[fields[image]]
            raise BadData(f"{where}: image {fields[image]} is there twice ({first})")
        stated = []
        for place, name in classes:
            value = fields[place].removesuffix(".0")
            if value not in ("0", "1"):
                raise BadData(
                    f"{where}: column {table.header[place]} holds {value or 'nothing'}, "
                    "expected 1 or 0"
                )
            if value == "1":
                stated.append(name)
        if len(stated) != 1:
            raise BadData(f"{where}: {len(stated)} classes are 1, expected exactly one")
        labels[fields[image]] = where, stated[0]
    return labels


def _rows(table, folder, labels, bad_images):
    """([ImageRow], notes); takes the labels it uses out of `labels`."""
    image, lesion = table.column("image"), table.column("lesion_id")
    places = table.columns_there(_ATTRIBUTES)
    images = ImageFolder(folder, bad_images)
    paths = images.by_stem(f"--manual_dir={folder}")
    rows, seen, count = [], {}, collections.Counter()
    for where, fields in table:
        (name,), lesion_id = table.needed(where, fields, image), fields[lesion]
        if name in seen:
            raise BadData(f"{where}: image {name} is there twice ({seen[name]})")
        seen[name] = where
        _, label = labels.pop(name, ("", None))
        file = images.find(paths.get(name, f"{name}.jpg"), where)
        if not file:
            continue
        count["no lesion"] += not lesion_id
        count["no label"] += label is None
        count["HAM10000"] += lesion_id.startswith("HAM_")
        rows.append(
            ImageRow(
                where=where,
                file=file,
                image=name,
                case_id=lesion_id or name,
                label=label or "",
                attributes=stated(fields, places),
            )
        )
    notes = counted({
        "images without a lesion_id, each a case of its own": count["no lesion"],
        f"unlabelled images, without a row in {_LABELS}": count["no label"],
    })  # fmt: skip
    if count["HAM10000"]:
        notes.append(
            f"{count['HAM10000']:,} images are HAM10000's (lesion_id HAM_...): do not test on one "
            "what was trained on the other"
        )
    return rows, notes


def _without_contradictions(rows):
    """Takes the labels from lesions that have several, which nobody but the owners can settle.

    Returns:
      ([ImageRow], notes).
    """
    stated = collections.defaultdict(set)
    for row in rows:
        if row.label:
            stated[row.case_id].add(row.label)
    several = {case_id for case_id, labels in stated.items() if len(labels) > 1}
    rows = [dataclasses.replace(row, label="") if row.case_id in several else row for row in rows]
    what = "lesions without a label, since those of their images differ"
    return rows, counted({what: len(several)})
