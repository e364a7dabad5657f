"""HAM10000 in small as its owners ship it, in "files" of the current folder; see fixture `ham`."""

import csv
import pathlib

import tensorflow as tf

from data_builders.derm_cases import derm_cases_dataset_builder as derm_cases
from data_builders.grouping import ReadOptions
from micle_tf.config import Config
from micle_tf.data import cases

HAM = "derm_cases/ham10000"


def config(**changes):
    return Config(**{"mode": "prepare", "dataset": HAM, "data_dir": "data"} | changes)


def open_ham(**changes):
    return cases.open_cases(config(manual_dir="files", **changes))


def everything(data):
    """{(split, case_id, image_id): (label, encoded image)} of a `CaseData`."""
    found = {}
    for split, reader in data.readers.items():
        index = reader.index
        images = reader.read(tf.range(index.num_cases, dtype=tf.int64)).flat_values.numpy()
        case = index.case_id[index.case_of_image]
        for row in zip(case, index.image_id, index.class_label, images, strict=True):
            found[split, str(row[0]), str(row[1])] = int(row[2]), row[3]
    return found


def snapshot(folder="."):
    """Whatever is on the disk there: {path: (when it was changed, content)}."""
    return {
        str(path): (path.lstat().st_mtime_ns, path.read_bytes() if path.is_file() else b"")
        for path in pathlib.Path(folder).rglob("*")
    }


def images_of(folder):
    return sorted(folder.rglob("*.jpg"))


def rows_of(folder):
    """The rows of the metadata, and {image_id: number of its row}."""
    with open(folder / "HAM10000_metadata", newline="") as file:
        rows = list(csv.DictReader(file))
    return rows, {row["image_id"]: number for number, row in enumerate(rows, 2)}


def path_of(ham, image):
    (path,) = (path for path in images_of(ham) if path.stem == image)
    return path


def spoil(ham, number, keep=""):
    """Damages the images of so many rows, none of the split `keep`; {image_id: message}."""
    rows, row_of = rows_of(ham)
    spared = [i.image_id for case in splits_of(ham).get(keep, ()) for i in case.images]
    messages = {}
    for image in [row["image_id"] for row in rows if row["image_id"] not in spared][:number]:
        path = path_of(ham, image)
        path.write_bytes(path.read_bytes()[:-30])
        where = f"files/HAM10000_metadata row {row_of[image]}"
        shown = path.relative_to(ham.parent)
        messages[image] = f"{where}: {shown}: the image is damaged or cut short"
    return messages


def splits_of(ham):
    return derm_cases.read_source("ham10000", ham.name, ReadOptions()).cases
