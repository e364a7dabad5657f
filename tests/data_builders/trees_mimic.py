"""A small MIMIC-CXR-JPG in its owner's format, with the pictures of `trees_chexpert`."""

import csv
import gzip
import pathlib

import numpy as np

from data_builders.chexpert_labels import FINDINGS
from tests.data_builders.trees_chexpert import draw_findings, picture

METADATA = [
    "dicom_id",
    "subject_id",
    "study_id",
    "PerformedProcedureStepDescription",
    "ViewPosition",
    "Rows",
    "Columns",
    "StudyDate",
    "StudyTime",
    "ProcedureCodeSequence_CodeMeaning",
    "ViewCodeSequence_CodeMeaning",
    "PatientOrientationCodeSequence_CodeMeaning",
]
SPLIT = ("dicom_id", "study_id", "subject_id", "split")
LABELS = ("subject_id", "study_id", *sorted(FINDINGS))


def write_tree(folder, patients=100, seed=0, *, name="", version="2.0.0", gz=True, size=40):
    """Writes the tables metadata, split and chexpert, and their images.

    1.7 studies a subject and 1.6 images a study on average. Rows are in no order; the studies of
    every tenth subject have no labels, and the first two subjects share a study number; some
    view positions are blank.

    Args:
      folder: where the tree goes; made if need be.
      patients: 5 or more.
      seed: all of it is a function of the arguments.
      name: of the folder in it; "" for none.
      version: in the names of the tables.
      gz: whether the tables are gzipped.
      size: of the pictures, in pixels; JPEG, grey.

    Returns:
      The path of the folder that holds the tables.
    """
    root = pathlib.Path(folder) / name
    root.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    metadata, split, labels = [], [], []
    for patient in range(patients):
        subject = str(10001234 + 7919 * patient)
        where = "train" if patient % 5 < 3 else ("validate", "test")[patient % 5 - 3]
        for number in range(1 + int(rng.choice(3, p=[0.5, 0.3, 0.2]))):
            shared = patient < 2 and number == 0
            study = "50123456" if shared else str(50500000 + 100 * patient + number)
            values, present = draw_findings(rng, mentioned=False)
            if patient % 10 != 2:
                labels.append({"subject_id": subject, "study_id": study} | _as_text(values))
            views = ["PA", "LATERAL", ""][: 1 + int(rng.choice(3, p=[0.5, 0.4, 0.1]))]
            for view in views:
                dicom = "-".join(f"{part:08x}" for part in rng.integers(0, 2**32, 5))
                path = root / f"files/p{subject[:2]}/p{subject}/s{study}/{dicom}.jpg"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(picture(rng, present, view == "LATERAL", size))
                ids = {"dicom_id": dicom, "subject_id": subject, "study_id": study}
                split.append(ids | {"split": where})
                about = ("CHEST (PA AND LAT)", view, size, size, "21800506", "213014.531")
                about += ("CHEST (PA AND LAT)", "postero-anterior", "Erect")
                metadata.append(ids | dict(zip(METADATA[3:], about, strict=False)))
    tables = {
        "metadata": (METADATA, metadata),
        "split": (SPLIT, split),
        "chexpert": (LABELS, labels),
    }
    for kind, (header, rows) in tables.items():
        rng.shuffle(rows)
        write_table(root / f"mimic-cxr-{version}-{kind}.csv{'.gz' if gz else ''}", header, rows)
    return root


def write_table(path, header, rows):
    """Writes a CSV, gzipped if its name ends so."""
    with (gzip.open if path.suffix == ".gz" else open)(path, "wt", newline="") as file:
        writer = csv.DictWriter(file, header, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def _as_text(values):
    return {name: value if value == "" else f"{value:.1f}" for name, value in values.items()}
