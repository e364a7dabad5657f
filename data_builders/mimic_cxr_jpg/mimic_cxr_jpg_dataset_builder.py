"""tfds builder of `mimic_cxr_jpg`: MIMIC-CXR-JPG with a study as a case."""

import os
import sys

from data_builders.case_builder import CaseConfig, CaseDatasetBuilder
from data_builders.chexpert_labels import FINDINGS, LABELS, NOTHING_KNOWN, LabelColumns
from data_builders.grouping import ImageRow, group_rows
from data_builders.image_files import ImageFolder
from data_builders.reading.tables import Table, attributes_of, counted, find_table, own_folder
from data_builders.schema import BadData

# Below the user's folder: the tables at once, or the folders that PhysioNet's downloads make.
_USUAL_PLACES = (
    "mimic-cxr-jpg*",
    "2.*",
    "mimic-cxr-jpg/2.*",
    "files/mimic-cxr-jpg/2.*",
    "physionet.org/files/mimic-cxr-jpg/2.*",
)
_INSTRUCTIONS = (
    "MIMIC-CXR-JPG is at PhysioNet, for credentialed users; its tables metadata, split and "
    "chexpert lie here, beside the folder files"
)
_SPLITS = {"train": "train", "validate": "validation", "test": "test"}


def read_source(config, folder, options):
    """Reads MIMIC-CXR-JPG 2.0.0 or 2.1.0 as PhysioNet ships it.

    Args:
      config: "default", the only one.
      folder: that of the three tables, or one that PhysioNet's folders are in.
      options: `grouping.ReadOptions`.

    Returns:
      A `CaseSource`; labels belong to the study.

    Raises:
      BadData: one line that names the flag, or file and row.
    """
    home = own_folder(folder, _names("metadata"), _USUAL_PLACES)
    metadata, split, chexpert = (
        find_table(home, *_names(kind), instructions=_INSTRUCTIONS)
        for kind in ("metadata", "split", "chexpert")
    )
    rows, notes = _joined(metadata, split, chexpert, ImageFolder(home, options.bad_images))
    if not rows:
        raise BadData(f"--manual_dir={folder}: no images in it that {metadata} names")
    return group_rows(rows, options, notes=notes, **LABELS)


def _joined(metadata, split, chexpert, images):
    """([`ImageRow`], notes) of the three tables."""
    split_of, findings_of = _splits(split), _findings(chexpert)
    rows, studies, without_split, split_file = [], set(), 0, os.path.basename(split)
    for where, dicom_id, patient, study, view, attributes in _listed(metadata):
        image = f"files/{patient[:3]}/{study}/{dicom_id}.jpg"
        file, image_split = images.find(image, where), split_of.pop(dicom_id, "")
        studies.add(study)
        without_split += not image_split
        if file:
            row = ImageRow(
                where=where, file=file, image=image, case_id=study, patient_id=patient,
                study_id=study, view=view, split=image_split, split_from=split_file,
                findings=findings_of.get(study, NOTHING_KNOWN), attributes=attributes,
            )  # fmt: skip
            rows.append(row)
    split, chexpert = os.path.basename(split), os.path.basename(chexpert)
    unlabelled, unused = studies.difference(findings_of), findings_of.keys() - studies
    notes = counted({
        f"studies kept without labels, having no row in {chexpert}": len(unlabelled),
        f"rows left out of {chexpert}, having no image": len(unused),
        f"images kept in the split of their patient, having no row in {split}": without_split,
        f"rows left out of {split}, having no row in the metadata": len(split_of),
    })  # fmt: skip
    return rows, notes


def _names(kind):
    return f"mimic-cxr-2.0.0-{kind}.csv", f"mimic-cxr-2.*-{kind}.csv"


def _listed(path):
    """Yields (where, dicom id, patient, study, view, attributes) of the images; no dates."""
    table = Table(path)
    ids = [table.column(name) for name in ("dicom_id", "subject_id", "study_id")]
    view = table.column("ViewPosition")
    orientation = table.optional("PatientOrientationCodeSequence_CodeMeaning")  # as "Erect"
    for where, fields in table:
        dicom_id, subject, study = table.needed(where, fields, *ids)
        attributes = attributes_of(orientation=orientation(fields))
        patient, study = f"p{subject}", f"p{subject}/s{study}"
        yield where, dicom_id, patient, study, sys.intern(fields[view]), attributes


def _splits(path):
    """{dicom id: split}."""
    table, split_of = Table(path), {}
    image, column = table.column("dicom_id"), table.column("split")
    for where, fields in table:
        (dicom_id,), split = table.needed(where, fields, image), fields[column]
        if split not in _SPLITS:
            raise BadData(f"{where}: split {split} is not one of {', '.join(_SPLITS)}")
        if split_of.setdefault(dicom_id, _SPLITS[split]) != _SPLITS[split]:
            raise BadData(f"{where}: image {dicom_id} is in {split}, but not in a row before")
    return split_of


def _findings(path):
    """{study, as "p10001234/s50123456": values in the order of `FINDINGS`}."""
    table, findings_of = Table(path), {}
    ids = [table.column(name) for name in ("subject_id", "study_id")]
    labels = LabelColumns(table)
    for where, fields in table:
        subject, study = table.needed(where, fields, *ids)
        study, findings = f"p{subject}/s{study}", labels.read(where, fields)
        if findings_of.setdefault(study, findings) != findings:
            raise BadData(f"{where}: study {study} has other labels than in a row before")
    return findings_of


class Builder(CaseDatasetBuilder):
    """Chest X-rays, 14 findings per study; see `data_builders/mimic_cxr_jpg/README.md`."""

    MANUAL_DOWNLOAD_INSTRUCTIONS = f"{_INSTRUCTIONS}."
    BUILDER_CONFIGS = [
        CaseConfig(
            name="default",
            description="PhysioNet's own train, validation and test.",
            finding_names=FINDINGS,
        )
    ]

    read_source = staticmethod(read_source)
