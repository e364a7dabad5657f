"""A small CheXpert in its owner's format, with pictures that show the findings."""

import csv
import pathlib

import numpy as np
import tensorflow as tf

from data_builders.chexpert_labels import COMPETITION, FINDINGS

HEADER = ("Path", "Sex", "Age", "Frontal/Lateral", "AP/PA", *FINDINGS)
_PRESENT = 0.35  # share of the studies that have a finding of the competition, each
_OTHERS = 0.05
_UNCERTAIN, _NOT_MENTIONED = 0.1, 0.3  # of the values in train.csv


def write_tree(
    folder,
    patients=100,
    seed=0,
    *,
    name="CheXpert-v1.0-small",
    prefix="CheXpert-v1.0-small/",
    integers=False,
    valid=True,
    test="test_labels.csv",
    size=40,
):
    """Writes train.csv, valid.csv, the labels of a test set, and their images.

    1.7 studies a patient and 1.4 images a study on average; valid and test have a quarter as
    many patients each, with one study. Rows of a study are not adjacent; there are LL and RL
    views, sex Unknown, ages 0 and 90, uncertain and unmentioned findings.

    Args:
      folder: where the tree goes; made if need be.
      patients: of the train set, 4 or more.
      seed: all of it is a function of the arguments.
      name: of the folder in it; "" for none.
      prefix: what the column Path begins with.
      integers: write 1 in place of 1.0.
      valid: whether there is a valid set.
      test: name of the table of the test set: test.csv, test_labels.csv, groundtruth.csv (a row
        per study), or "" for none.
      size: of the pictures, in pixels; JPEG, grey.

    Returns:
      The path of the folder that holds train.csv.
    """
    root = pathlib.Path(folder) / name
    rng = np.random.default_rng(seed)
    first = {"train": 1, "valid": 64541, "test": 64741}
    few = max(1, patients // 4)
    number = {"train": patients, "valid": few if valid else 0, "test": few if test else 0}
    tables = {top: [] for top in first}
    for top, rows in tables.items():
        for patient in range(first[top], first[top] + number[top]):
            rows += _patient_rows(rng, root, top, patient, size)
    _make_odd(tables["train"])
    rng.shuffle(tables["train"])
    _write(root / "train.csv", HEADER, tables["train"], prefix, integers)
    if valid:
        _write(root / "valid.csv", HEADER, tables["valid"], prefix, integers)
    if test == "groundtruth.csv":
        studies = {row["Path"].rsplit("/", 1)[0]: row for row in tables["test"]}
        rows = [row | {"Study": study} for study, row in studies.items()]
        _write(root / test, ("Study", *FINDINGS), rows, "CheXpert-v1.0/", True)
    elif test:
        _write(root / test, ("Path", *FINDINGS), tables["test"], "", True)
    return root


def draw_findings(rng, mentioned=True):
    """What a study has: {finding: 1, 0, -1 or "" (not mentioned)}, and the set that is shown.

    An uncertain or unmentioned finding is there or not, as it is where it is stated.
    """
    share = [_PRESENT if name in COMPETITION else _OTHERS for name in FINDINGS]
    present = {
        name
        for name, there in zip(FINDINGS, rng.random(len(FINDINGS)) < share, strict=True)
        if there
    }
    present.discard("No Finding")
    values = {name: int(name in present) for name in FINDINGS}
    values["No Finding"] = int(not present)
    if not mentioned:
        for name in FINDINGS:
            draw = rng.random()
            if draw < _UNCERTAIN:
                values[name] = -1
            elif draw < _UNCERTAIN + _NOT_MENTIONED:
                values[name] = ""
        values["No Finding"] = "" if present else 1  # 1 or blank in the true files
    return values, present


def picture(rng, present, lateral=False, size=40):
    """Bytes of a JPEG, grey: a chest of sorts, in which each finding of the competition shows."""
    y, x = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j]
    dx, dy = rng.uniform(-0.08, 0.08, 2)
    x, y = x - dx, y - dy
    reach = 0.42 if "Cardiomegaly" in present else 0.2
    lungs = (np.abs(x) > 0.12) & (np.hypot((np.abs(x) - 0.45) / 0.36, y / 0.75) < 1)
    if lateral:
        lungs, reach = np.hypot(x / 0.6, y / 0.8) < 1, 0.8 * reach
    body = np.where(lungs, 0.25, 0.7)
    if "Edema" in present:
        body = np.where(lungs, 0.4 + 0.1 * np.sin(25 * x) * np.sin(25 * y), body)
    if "Consolidation" in present:
        body = np.where(np.hypot(x - 0.45, y + 0.35) < 0.22, 0.9, body)
    if "Atelectasis" in present:
        body = np.where((np.abs(y - 0.05) < 0.05) & (x < -0.1), 0.95, body)
    if "Pleural Effusion" in present:
        body = np.where(y > 0.4, 0.85, body)
    body = np.where(np.hypot(x / reach, (y - 0.15) / 0.3) < 1, 0.8, body)
    body = rng.uniform(0.8, 1.1) * body + rng.normal(0, 0.03, body.shape)
    pixels = np.uint8(255 * body.clip(0, 1))[..., np.newaxis]
    return tf.io.encode_jpeg(pixels, quality=90).numpy()


def _patient_rows(rng, root, top, patient, size):
    """Rows of a patient, the later studies first; writes the images."""
    rows = []
    sex, age = rng.choice(["Male", "Female"]), int(rng.integers(18, 91))
    studies = 1 + int(rng.choice(3, p=[0.5, 0.3, 0.2])) if top == "train" else 1
    for study in range(studies, 0, -1):
        values, present = draw_findings(rng, mentioned=top != "train")
        views = ["frontal", "lateral", "frontal"][: 1 + int(rng.choice(3, p=[0.7, 0.2, 0.1]))]
        for k, view in enumerate(views, 1):
            path = f"{top}/patient{patient:05d}/study{study}/view{k}_{view}.jpg"
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_bytes(picture(rng, present, view == "lateral", size))
            position = str(rng.choice(["AP", "AP", "PA"])) if view == "frontal" else ""
            about = (path, sex, age, view.capitalize(), position)
            rows.append(dict(zip(HEADER, about, strict=False)) | values)
    return rows


def _make_odd(rows):
    """What the true train.csv has, too seldom to be drawn."""
    frontal = [row for row in rows if row["AP/PA"]]
    frontal[0]["AP/PA"], frontal[1]["AP/PA"] = "LL", "RL"
    odd = {
        "patient00001": {"Sex": "Unknown"},
        "patient00002": {"Age": 0},
        "patient00003": {"Age": 90},
    }
    for row in rows:
        row.update(odd.get(row["Path"].split("/")[1], {}))


def _write(path, header, rows, prefix, integers):
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        for row in rows:
            stated = dict(row)
            stated[header[0]] = prefix + stated[header[0]]
            if not integers:
                for name in FINDINGS:
                    stated[name] = stated[name] if stated[name] == "" else f"{stated[name]:.1f}"
            writer.writerow([stated[name] for name in header])
