"""tfds builder of PadChest: chest X-rays in two or more views, findings per report.

A case is a study: its views share one report, and so its findings.
"""

import os
import re
import sys

from data_builders.case_builder import CaseConfig, CaseDatasetBuilder
from data_builders.grouping import ImageRow, group_rows
from data_builders.image_files import ImageFolder
from data_builders.padchest.labels import FINDINGS, LABELS, LabelReader
from data_builders.reading.tables import attributes_of, counted, own_table
from data_builders.schema import BadData

_TABLES = ("PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv", "PADCHEST*.csv")
_HOW_TO_GET = (
    "PadChest is given out on request by BIMCV; beside its CSV, which may be gzipped, lie the "
    "images, in the folders 0 to 53 or all in one"
)
# What becomes of a long number of digits in a program that takes it for one: 8.05E+37, 216.0.
_FLOATING_POINT = re.compile(r"[0-9]+(\.[0-9]*(e[+-]?[0-9]+)?|e[+-][0-9]+)\.*", re.IGNORECASE)


def read_source(config, folder, options):
    """Reads PadChest as its owners ship it. No image is opened.

    Args:
      config: "default".
      folder: holds the CSV and, in whatever sub-folders, the images; or holds a folder named
        like the set that does.
      options: `grouping.ReadOptions`.

    Returns:
      A `CaseSource` with the findings of `labels.FINDINGS`, 1, 0, or -2 in a study whose
      report says nothing.

    Raises:
      BadData: one line that names the flag, or file and row.
    """
    del config  # there is one
    folder, table = own_table(folder, _TABLES, _HOW_TO_GET)
    labels = LabelReader()
    rows, excluded = _rows(table, folder, labels, options.bad_images)
    rounded = sum(bool(_FLOATING_POINT.fullmatch(row.patient_id)) for row in rows)
    what = "PatientID in floating point, so that several patients may pass for one"
    notes = [
        labels.note(),
        *counted({"left out, Projection being EXCLUDE": excluded}, "image"),
        *counted({what: rounded}),
    ]
    return group_rows(rows, options, named_in=table.path, notes=notes, **LABELS)


class Builder(CaseDatasetBuilder):
    """Chest X-rays, findings per study; see README.md beside this file."""

    MANUAL_DOWNLOAD_INSTRUCTIONS = f"Put {_TABLES[0]} and the images here: {_HOW_TO_GET}."
    BUILDER_CONFIGS = [
        CaseConfig(
            name="default",
            description="PadChest: 160,000 chest X-rays of 67,000 patients, labelled reports.",
            finding_names=FINDINGS,
        )
    ]

    read_source = staticmethod(read_source)


def _rows(table, folder, labels, bad_images):
    """([ImageRow], how many images are excluded by their projection)."""
    image, patient, study, report = (
        table.column(name) for name in ("ImageID", "PatientID", "StudyID", "Labels")
    )
    names = ("ImageDir", "Projection", "PatientSex_DICOM", "MethodLabel")
    columns = [table.optional(name) for name in names]
    images = ImageFolder(folder, bad_images)
    paths = images.by_file_name(f"--manual_dir={folder}")
    rows, excluded = [], 0
    for where, fields in table:
        inside, view, sex, labelled_by = (sys.intern(_known(column(fields))) for column in columns)
        if view.upper() == "EXCLUDE":
            excluded += 1
            continue
        name, patient_id, study_id = (
            _identity(where, table.header[place], fields[place])
            for place in (image, patient, study)
        )
        file = images.find(paths.get(name) or os.path.join(inside, name), where)
        if not file:
            continue
        case_id = f"{patient_id}/{study_id}"
        rows.append(
            ImageRow(
                where=where,
                file=file,
                image=name,
                case_id=case_id,
                patient_id=patient_id,
                study_id=case_id,
                view=view,
                findings=labels.read(where, fields[report]),
                attributes=attributes_of(sex=sex, labelled_by=labelled_by),
            )
        )
    return rows, excluded


def _known(cell):
    return "" if cell.lower() == "nan" else cell


def _identity(where, column, cell):
    """An id, which is text whatever it looks like; raises BadData if it no longer is one.

    Patients who pass for one stay in one split all the same, studies would be mixed up.
    """
    if not _known(cell):
        raise BadData(f"{where}: column {column} is blank")
    if column.lower() != "patientid" and _FLOATING_POINT.fullmatch(cell):
        raise BadData(
            f"{where}: column {column} holds a number in floating point, which has lost the digits "
            "that tell one id from another; take the owner's CSV, or export it with ids as text"
        )
    return cell
