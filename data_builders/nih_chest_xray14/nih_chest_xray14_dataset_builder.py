"""tfds builder of NIH ChestX-ray14: frontal chest X-rays, 14 findings per image.

A case is a patient, since the set has no study id: its images were taken over years, and each
has findings of its own.
"""

import os
import re
import sys

from data_builders.case_builder import CaseConfig, CaseDatasetBuilder
from data_builders.grouping import ImageRow, group_rows
from data_builders.image_files import ImageFolder
from data_builders.reading.tables import attributes_of, counted, one_of, own_table
from data_builders.schema import NOT_MENTIONED, BadData

# As the column Finding Labels writes them, the most frequent one first.
FINDINGS = (
    "Infiltration", "Effusion", "Atelectasis", "Nodule", "Mass", "Pneumothorax", "Consolidation",
    "Pleural_Thickening", "Cardiomegaly", "Emphysema", "Edema", "Fibrosis", "Pneumonia", "Hernia",
)  # fmt: skip
# What CheXpert and PadChest call the same finding, where it is another name.
SYNONYMS = {
    "Pleural Effusion": "Effusion",
    "pleural effusion": "Effusion",
    "pulmonary edema": "Edema",
    "pleural thickening": "Pleural_Thickening",
}

_NOTHING = "No Finding"
_TABLES = ("Data_Entry_2017_v2020.csv", "Data_Entry_2017.csv", "sample_labels.csv")
_LISTS = {"train_val_list.txt": "train", "test_list.txt": "test"}
_LIST_OF = {split: name for name, split in _LISTS.items()}
_HOW_TO_GET = (
    f"{_TABLES[1]} or Kaggle's {_TABLES[2]} will do; NIH ChestX-ray14 is free to download from the "
    "NIH Clinical Center, and its images lie beside the CSV, in folders of any depth"
)
# DICOM's units of an age; most rows of most copies have none and mean years.
_PER_YEAR = {"": 1, "Y": 1, "M": 12, "W": 52, "D": 365}


def read_source(config, folder, options):
    """Reads ChestX-ray14 as its owners, or Kaggle, ship it. No image is opened.

    Args:
      config: "default".
      folder: holds the CSV and, in whatever sub-folders, the images; or holds a folder named
        like the set that does. With train_val_list.txt and test_list.txt beside the CSV the
        splits are the official ones, and validation is taken out of train.
      options: `grouping.ReadOptions`. There are no studies.

    Returns:
      A `CaseSource` with 14 findings per image, 1 or 0.

    Raises:
      BadData: one line that names the flag, or file and row.
    """
    del config  # there is one
    folder, table = own_table(folder, _TABLES, _HOW_TO_GET)
    split_of = _official_splits(folder)
    rows, unnamed = _rows(table, folder, split_of, options.bad_images)
    what = f"left out, having no row in {os.path.basename(table.path)}"
    return group_rows(
        rows, options, named_in=table.path, finding_names=FINDINGS, synonyms=SYNONYMS,
        labels_shared_by_case=False, notes=counted({what: unnamed}, "image"),
    )  # fmt: skip


class Builder(CaseDatasetBuilder):
    """Frontal chest X-rays, 14 findings per image; see README.md beside this file."""

    MANUAL_DOWNLOAD_INSTRUCTIONS = f"Put the CSV and the images here: {_TABLES[0]}, {_HOW_TO_GET}."
    BUILDER_CONFIGS = [
        CaseConfig(
            name="default",
            description="NIH ChestX-ray14: 112,120 chest X-rays of 30,805 patients, 14 findings.",
            finding_names=FINDINGS,
        )
    ]

    read_source = staticmethod(read_source)


# ---------------------------------------------------------------- rows


def _rows(table, folder, split_of, bad_images):
    """([ImageRow], how many images have no row)."""
    image, labels, patient = (
        table.column(name) for name in ("Image Index", "Finding Labels", "Patient ID")
    )
    view, age = table.optional("View Position"), table.optional("Patient Age")
    sex, follow_up = table.optional("Patient Sex", "Patient Gender"), table.optional("Follow-up #")
    images = ImageFolder(folder, bad_images)
    paths = images.by_file_name(f"--manual_dir={folder}")
    rows, named, findings = [], set(), {}
    for where, fields in table:
        (name,) = table.needed(where, fields, image)
        if split_of and name not in split_of:
            raise BadData(f"{where}: {name} is in neither of {' and '.join(_LISTS)}")
        values = findings.get(fields[labels])  # one tuple for all images that say the same
        if values is None:
            values = findings[fields[labels]] = _findings(where, fields[labels])
        patient_id = _patient_id(where, fields[patient])
        named.add(name)
        file = images.find(paths.get(name, name), where)
        if not file:
            continue
        rows.append(
            ImageRow(
                where=where,
                file=file,
                image=name,
                case_id=patient_id,
                patient_id=patient_id,
                view=sys.intern(view(fields)),
                split=split_of.get(name, ""),
                split_from=_LIST_OF.get(split_of.get(name), ""),
                findings=values,
                attributes=attributes_of(
                    sex=sex(fields), follow_up=follow_up(fields), age=_in_years(age(fields))
                ),
            )
        )
    return rows, len(paths.keys() - named)


def _findings(where, cell):
    """What Finding Labels says, "Effusion|Mass" or "No Finding", as a value per finding."""
    names = [name.strip() for name in cell.split("|") if name.strip()]
    known = (*FINDINGS, _NOTHING)
    for name in names:
        if name not in known:
            raise BadData(
                f"{where}: {name} is not a known finding; known are {one_of(name, known)}"
            )
    if _NOTHING in names and len(set(names)) > 1:
        raise BadData(f"{where}: column Finding Labels holds {cell}, but {_NOTHING} stands alone")
    if not names:
        return (NOT_MENTIONED,) * len(FINDINGS)
    return tuple(int(name in names) for name in FINDINGS)


def _patient_id(where, cell):
    """The number as text, in one spelling: the name of an image has it with leading zeros."""
    if not re.fullmatch(r"[0-9]+", cell):
        raise BadData(f"{where}: column Patient ID holds {cell or 'nothing'}, expected a number")
    return sys.intern(cell.lstrip("0") or "0")


def _in_years(cell):
    """Completed years out of "61", "060Y" or "005M"; a text of another kind as it is."""
    age = re.fullmatch(r"([0-9]+)([YMWD]?)", cell.upper())
    return str(int(age[1]) // _PER_YEAR[age[2]]) if age else cell


# ---------------------------------------------------------------- official splits


def _official_splits(folder):
    """{image: split} of the two official lists, {} where there are none."""
    there = [name for name in _LISTS if os.path.exists(os.path.join(folder, name))]
    if len(there) == 1:
        (lacking,) = _LISTS.keys() - there
        raise BadData(
            f"--manual_dir={folder}: there is {there[0]}, but no {lacking}; put it there for the "
            f"official splits, or take {there[0]} away for splits made by patient"
        )
    split_of = {}
    for name in there:
        path = os.path.join(folder, name)
        for row, image in enumerate(_lines(path), 1):
            if image and split_of.setdefault(image, _LISTS[name]) != _LISTS[name]:
                raise BadData(f"{path} row {row}: {image} is in {there[0]} too")
    return split_of


def _lines(path):
    try:
        with open(path, encoding="utf-8-sig") as file:
            return [line.strip() for line in file]
    except OSError as error:
        raise BadData(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError:
        raise BadData(f"{path}: not UTF-8 text") from None
