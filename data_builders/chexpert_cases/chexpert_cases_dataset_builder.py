"""tfds builder of `chexpert_cases`: CheXpert with a study as a case."""

import functools
import os
import re
import sys

from data_builders.case_builder import CaseConfig, CaseDatasetBuilder
from data_builders.chexpert_labels import FINDINGS, LABELS, LabelColumns
from data_builders.grouping import ImageRow, group_rows
from data_builders.image_files import IMAGE_ENDINGS, ImageFolder
from data_builders.reading.tables import (
    Table,
    attributes_of,
    find_table,
    find_table_or_none,
    names_in,
)
from data_builders.schema import BadData
from data_builders.splits import TEST_SHARE, VALIDATION_SHARE

# The last part of a path or, in groundtruth.csv, of a study's folder; what stands before it
# depends on the release: CheXpert-v1.0/, CheXpert-v1.0-small/, nothing.
_PATH = re.compile(r"(?:^|/)(?:(train|valid|val|test)/)?(patient\d+)/(study\d+)(?:/([^/]*))?$")
_INSTRUCTIONS = (
    "CheXpert is at Stanford AIMI, after registration; train.csv and the folder train lie "
    "here or in CheXpert-v1.0*"
)
_PAPER_SHARES = (0.10, 0.15)  # of validation and test


def read_source(config, folder, options):
    """Reads CheXpert as Stanford ships it.

    Args:
      config: "official", or "paper" for a new split of the official train set.
      folder: that of train.csv, or the one that this folder is in.
      options: `grouping.ReadOptions`.

    Returns:
      A `CaseSource`; labels belong to the study.

    Raises:
      BadData: one line that names the flag, or file and row.
    """
    places = _places(folder)
    homes = [place for place in places if find_table_or_none(place, "train.csv")] or places[:1]
    if len(homes) > 1 and homes[0] != folder:
        raise BadData(f"--manual_dir={folder}: train.csv is in {' and in '.join(homes)}; name one")
    train = find_table(homes[0], "train.csv", instructions=_INSTRUCTIONS)
    images = _Images([homes[0], *places], options.bad_images)
    rows = list(_rows(train, "train", "" if config == "paper" else "train", images))
    if not rows:
        raise BadData(f"--manual_dir={folder}: no images in it that {train} names")
    if config == "paper":
        shares = _PAPER_SHARES
        note = "the official train set is split anew, 75/10/15 by patient, since the paper's own "
        notes = [note + "split is not public; valid.csv is not used"]
    else:
        shares = (VALIDATION_SHARE, TEST_SHARE)
        notes = []
        valid = find_table_or_none(homes[0], "valid.csv")
        if valid:
            rows += _rows(valid, "valid", "validation", images)
        test = _test_table([homes[0], *places])
        if test and images.has("test"):
            rows += _rows(test, "test", "test", images)
        elif test:
            name = os.path.basename(test)
            notes.append(f"{name} is not used: there is no folder test with its images")
    return group_rows(rows, options, shares=shares, notes=notes, **LABELS)


def _places(folder):
    """The folder, and those in it that are called CheXpert-something."""
    names = [name for name in names_in(folder) if name.lower().startswith("chexpert")]
    inside = [os.path.join(folder, name) for name in names]
    return [folder] + [place for place in inside if os.path.isdir(place)]


def _test_table(places):
    """The labels of the test set, which came years later, under several names; or None."""
    names = ("test.csv", "test_labels.csv", "groundtruth.csv")
    tables = (find_table_or_none(place, *names) for place in places)
    return next(filter(None, tables), None)


class _Images:
    """Finds images by the paths in the CSVs, without what stands before "train/".

    Args:
      places: folders in which "train", "valid" and "test" may lie, the likeliest first.
      bad_images: `BadImages`.
    """

    def __init__(self, places, bad_images):
        self._places, self._bad_images = places, bad_images
        self._root = functools.cache(self._find_root)
        self._batch_of = {}
        if not self.has("train"):  # the large release has "CheXpert-v1.0 batch 2 (train 1)", ...
            for place in places:
                batch = ImageFolder(place, bad_images)
                patients = [name for name in os.listdir(place) if name.startswith("patient")]
                self._batch_of.update(dict.fromkeys(patients, batch))

    def has(self, top):
        """Whether there is a folder "train", "valid" or "test"."""
        return any(os.path.isdir(os.path.join(place, top)) for place in self._places)

    def _find_root(self, top):
        """(folder that holds `top`, `ImageFolder`)."""
        with_top = (p for p in self._places if os.path.isdir(os.path.join(p, top)))
        place = next(with_top, self._places[0])
        return place, ImageFolder(place, self._bad_images)

    def names(self, top, study):
        """The file names of a study that is named as a whole."""
        folder = os.path.join(self._root(top)[0], top, study)
        names = os.listdir(folder) if os.path.isdir(folder) else []
        names = [n for n in names if n.lower().endswith(IMAGE_ENDINGS) and n[0] != "."]
        return sorted(names) or ["view1_frontal.jpg"]  # which will be missed

    def find(self, top, name, where):
        """The `ImageFile` or None, as `ImageFolder.find`; `name` begins with the patient."""
        batch = self._batch_of.get(name.split("/")[0]) if top == "train" else None
        return batch.find(name, where) if batch else self._root(top)[1].find(f"{top}/{name}", where)


def _rows(path, top, split, images):
    """Yields the `ImageRow`s of a CSV, in which a row is an image, or a study."""
    table = Table(path)
    labels = LabelColumns(table)
    path_column = table.column("Path", "Study")
    names = ("Frontal/Lateral", "AP/PA", "Age", "Sex")  # the test set has none of them
    columns = [table.optional(name) for name in names]
    path_name = table.header[path_column]
    whole_study = path_name.lower() == "study"
    for where, fields in table:
        match = _PATH.search(fields[path_column])
        if not match or (not match[4] and not whole_study):
            wanted = ".../patient00001/study1" + ("" if whole_study else "/view1_frontal.jpg")
            stated = fields[path_column] or "nothing"
            raise BadData(f"{where}: column {path_name} holds {stated}, expected {wanted}")
        top_there, patient, number, file_name = match.groups()
        top_there = top_there or top
        study = f"{patient}/{number}"
        findings = labels.read(where, fields)
        side, position, age, sex = (column(fields) for column in columns)
        attributes = attributes_of(
            age=age.removesuffix(".0").lstrip("0"),  # 0 stands for unknown
            sex="" if sex == "Unknown" else sex,
        )
        for name in images.names(top_there, study) if whole_study else [file_name]:
            file = images.find(top_there, f"{study}/{name}", where)
            if file:
                yield ImageRow(
                    where=where,
                    file=file,
                    image=f"{top_there}/{study}/{name}",
                    case_id=study,
                    patient_id=patient,
                    study_id=study,
                    view=_view(side, position, name),
                    split=split,
                    findings=findings,
                    attributes=attributes,
                )


def _view(side, position, name):
    """As "frontal AP" or "lateral"; from the name of the file where the CSV does not say it."""
    side = side or next((side for side in ("frontal", "lateral") if side in name.lower()), "")
    return sys.intern(f"{side.lower()} {position}".strip())


class Builder(CaseDatasetBuilder):
    """Chest X-rays, 14 findings per study; see `data_builders/chexpert_cases/README.md`."""

    MANUAL_DOWNLOAD_INSTRUCTIONS = f"{_INSTRUCTIONS}."
    BUILDER_CONFIGS = [
        CaseConfig(
            name="official",
            description="Stanford's own train, validation and test, as far as they are there.",
            finding_names=FINDINGS,
        ),
        CaseConfig(
            name="paper",
            description="The official train set, split anew by patient: 75, 10 and 15 %.",
            finding_names=FINDINGS,
        ),
    ]

    read_source = staticmethod(read_source)
