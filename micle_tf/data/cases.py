"""Opens datasets as cases by split: our own, tensorflow_datasets', or several joined."""

import dataclasses
from collections.abc import Mapping

import numpy as np

from data_builders.ids import alike, repr_of
from micle_tf import console
from micle_tf.data import prepare, report
from micle_tf.data.image_sets import open_image_set
from micle_tf.data.reader import CaseIndex, CaseReader
from micle_tf.data.targets import column_of, is_labelled
from micle_tf.dataset_names import DATASETS, dataset_names, is_own
from micle_tf.errors import BadInput
from micle_tf.settings import nearest

VALIDATION_IS_TEST = "validation is the test split"  # how splits were made, in config.json
_LISTED = 5  # of what was left out, and of what is there twice


@dataclasses.dataclass(frozen=True)
class CaseData:
    """A dataset, or several joined.

    Attributes:
      name: "derm_cases/synthetic"; where it is made from files, the hash of its sources is in it.
      class_names: in the order of the labels; empty if nothing is labelled, or with findings.
      finding_names: of several findings per image; empty where each has one class.
      default_findings: those that a classifier predicts unless told; empty: all.
      synonyms: {another dataset's name of a finding: ours}.
      labels_shared_by_case: the images of a case carry one label.
      notes: one line each on what was decided for the user, or left out.
      index: {split: CaseIndex}.
      readers: {split: CaseReader}.
      superseded: name of the data that was made of the same files by an earlier version, which
        saw some pictures otherwise; "" where there is none.
      seen_otherwise: this is such data.
      judged: {name of a split: the one that --eval_split means by it}, see `ImageSet`.
      ids: as of --ids.
      parts: the several joined; () for one.
      left_out: a line on each image that is in no split.
    """

    name: str
    class_names: tuple
    finding_names: tuple
    labels_shared_by_case: bool
    notes: tuple
    index: dict
    readers: dict
    default_findings: tuple = ()
    synonyms: Mapping = dataclasses.field(default_factory=dict)
    superseded: str = ""
    seen_otherwise: bool = False
    judged: Mapping = dataclasses.field(default_factory=dict)
    ids: str = "alike"
    parts: tuple = ()
    left_out: tuple = ()

    @property
    def facts(self):
        """What must be the same when a run is resumed: {"data": name}, and how splits were made."""
        otherwise = any(part.judged for part in self.parts or (self,))
        return {"data": self.name} | ({"splits": VALIDATION_IS_TEST} if otherwise else {})

    def judged_splits(self, eval_split):
        """The names of the splits that --eval_split means."""
        return [self.judged.get(name, name) for name in eval_split.split("+")]

    def open(self, split, flag="--train_split"):
        """The reader of a split, or of several joined by "+"; raises BadInput naming `flag`."""
        names = self.judged_splits(split) if flag == "--eval_split" else split.split("+")
        for name in names:
            if name not in self.index:
                there = ", ".join(self.index) + nearest(name, self.index)
                raise BadInput(f"{flag}={split}: {self.name} has {there}")
        if len(set(names)) < len(names):
            raise BadInput(f"{flag}={split}: a split is named twice")
        return _joined_reader([self.readers[name] for name in names])


def open_cases(config, trained_on="", splits_as_before=False):
    """Opens the dataset of a config, or the several ones; prepares them when needed.

    Args:
      config: `Config`; its fields from `dataset` to `max_pixels` say what and where.
      trained_on: see `prepare.open_prepared`.
      splits_as_before: see `open_image_set`.

    Returns:
      `CaseData`.

    Raises:
      BadInput: a dataset is unknown, its source has a fault, a patient is in two splits, or
        data_dir cannot be written. No part of the data stays behind then.
      Stopped: the disk is full.
    """
    _check_data_dir(config)
    names = dataset_names(config)
    parts = [open_one(config, name, trained_on, splits_as_before) for name in names]
    return parts[0] if len(parts) == 1 else joined(parts)


def check_cases(config):
    """What `open_cases` would find, by reading and decoding everything and writing nothing.

    Returns:
      [`CaseData`], one per dataset; without readers.

    Raises:
      BadInput: as `open_cases`.
    """
    _check_data_dir(config)
    names = dataset_names(config)
    for name in names:
        if not is_own(name):
            raise BadInput(f"--dry_run: {name} is tensorflow_datasets' own: no files to check")
    return [case_data(prepare.check(config, name), config.ids) for name in names]


def _check_data_dir(config):
    if "://" in config.data_dir:
        raise BadInput(f"--data_dir={config.data_dir}: prepared data lies on a local disk")


def open_one(config, name, trained_on="", splits_as_before=False):
    """`open_cases` of one dataset, by its name of `dataset_names`."""
    if is_own(name):
        return case_data(prepare.open_prepared(config, name, trained_on), config.ids)
    if config.group_by not in ("case", "image"):
        raise BadInput(f"--group_by={config.group_by}: every case of {name} is one image")
    image_set = open_image_set(
        name, config.data_dir, config.manual_dir, tuple(DATASETS), config.mode == "pretrain",
        splits_as_before,
    )  # fmt: skip
    readers = {
        split: CaseReader(records, index, (image_set.image_feature,), numbers, turned=False)
        for split, (records, index, numbers) in image_set.splits.items()
    }
    return CaseData(
        name=image_set.name,
        class_names=tuple(image_set.class_names),
        finding_names=(),
        labels_shared_by_case=True,
        notes=tuple(image_set.notes),
        index={split: reader.index for split, reader in readers.items()},
        readers=readers,
        judged=image_set.judged,
    )


def case_data(prepared, ids):
    """The `CaseData` of a `prepared.Prepared`; raises BadInput if a patient is in two splits."""
    check_patients(prepared.index, prepared.name, ids)
    metadata = prepared.metadata
    return CaseData(
        name=prepared.name,
        class_names=tuple(metadata["class_names"]),
        finding_names=tuple(metadata["finding_names"]),
        default_findings=tuple(metadata["default_findings"]),
        synonyms=dict(metadata["synonyms"]),
        labels_shared_by_case=metadata["labels_shared_by_case"],
        notes=(*metadata["notes"], *_report_lines(prepared)),
        index=prepared.index,
        superseded=prepared.superseded,
        ids=ids,
        seen_otherwise=bool(prepared.report.get(report.SUPERSEDED)),
        left_out=tuple(prepared.report.get("bad_images", ())),
        readers={
            split: CaseReader(records, prepared.index[split], turned=prepared.turned)
            for split, records in prepared.records.items()
        },
    )


def check_patients(index, name, ids="alike"):
    """Raises BadInput if a patient of a dataset is in two splits; takes milliseconds.

    Args:
      index: {split: CaseIndex}.
      name: of the dataset.
      ids: "alike", or "literal": spellings of a patient are as many patients.
    """
    same = alike if ids == "alike" else str
    first = {}
    for split, part in index.items():
        patients, places = np.unique(part.patient_id, return_index=True)
        known = zip(patients.tolist(), places.tolist(), strict=True)
        first[split] = {same(patient): (patient, place) for patient, place in known if patient}
    splits = list(index)
    for i, one in enumerate(splits):
        for other in splits[:i]:
            for key in first[one].keys() & first[other].keys():
                where, spellings = [], []
                for split in (other, one):
                    patient, case = first[split][key]
                    image = index[split].first_image[case]
                    where.append(f"{split} ({index[split].image_id[image]})")
                    spellings.append(patient)
                shown = " or ".join(dict.fromkeys(map(repr_of, spellings)))
                advice = "; if they are two, say --ids=literal" if len(set(spellings)) > 1 else ""
                raise BadInput(
                    f"--dataset: patient {shown} of {name} is in {' and in '.join(where)}; "
                    f"a patient must stay in one split{advice}"
                )


# ---------------------------------------------------------------- several datasets


def joined(parts):
    """Several datasets as one without labels, to pretrain on.

    A patient is known by the name of his dataset too. Splits that one of them lacks have the
    cases of the others.
    """
    names = [part.name for part in parts]
    index, readers, indices = {}, {}, []
    for split in dict.fromkeys(split for part in parts for split in part.index):
        made = [_prefixed(part, split) for part in parts if split in part.index]
        indices += [(split, reader.index) for reader in made]
        readers[split] = _joined_reader(made)
        index[split] = readers[split].index
    twice = report.identical_images(indices)
    shared = report.identical_images(
        [(part.name, index) for part in parts for index in part.index.values()]
    )
    notes = ["several datasets are joined without their labels"]
    notes += [f"{part.name}: {note}" for part in parts for note in part.notes]
    if shared:
        pictures = console.count(len(shared), "picture")
        notes.append(f"{pictures} in several of the joined datasets, as {_identical(shared[0])}")
    if twice:
        pictures = console.count(len(twice), "picture")
        notes.append(f"{pictures} in several splits of the joined data, as {_identical(twice[0])}")
    return CaseData(
        name="+".join(names),
        class_names=(),
        finding_names=(),
        labels_shared_by_case=True,
        notes=tuple(notes),
        index=index,
        readers=readers,
        superseded="+".join(part.superseded or part.name for part in parts)
        if any(part.superseded for part in parts)
        else "",
        seen_otherwise=any(part.seen_otherwise for part in parts),
        parts=tuple(parts),
    )


def _prefixed(part, split):
    """The reader of a split with its dataset's name before every id, and without labels."""
    index, prefix = part.index[split], part.name
    known = index.patient_id != ""
    index = dataclasses.replace(
        index,
        case_id=np.char.add(f"{prefix}/", index.case_id),
        patient_id=np.where(known, np.char.add(f"{prefix}/", index.patient_id), ""),
        image_id=np.char.add(f"{prefix}/", index.image_id),
        class_label=np.full(index.num_images, -1, np.int64),
        findings=np.zeros((0, 0), np.int8),
    )
    reader = part.readers[split]
    return CaseReader(reader.records, index, reader.image_features, reader.numbers, reader.turned)


def _joined_reader(readers):
    if len(readers) == 1:
        return readers[0]
    return CaseReader.join(readers, CaseIndex.join([reader.index for reader in readers]))


def labelled_images(data, split):
    """[how many images a classifier could learn from], of each of the datasets that are joined.

    Those of a split that are labelled; none where validation, which chooses, has no label.
    """

    def count(part, names):
        indices = [part.index[name] for name in names if name in part.index]
        labels = [index.findings if index.findings.size else index.class_label for index in indices]
        return sum(int(is_labelled(values).sum()) for values in labels)

    return [
        count(part, split.split("+")) * bool(part.judged or count(part, ["validation"]))
        for part in data.parts or (data,)
    ]


# ---------------------------------------------------------------- for a person


def describe(data, labels=False):
    """Lines for a person: patients, cases, images, how many cases have several, per split.

    With `labels`, how often each class or finding is there as well.
    """
    lines = [_describe_split(data.name, list(data.index.values()))]
    lines += [_describe_split(f"  {split}", [index]) for split, index in data.index.items()]
    if labels and data.finding_names:
        lines += _finding_lines(data)
    elif labels and data.class_names:
        lines += _class_lines(data)
    return lines + [f"  note: {note}" for note in data.notes]


def _describe_split(label, indices):
    index = CaseIndex.join(indices)
    patients = index.num_patients
    parts = [
        console.count(patients, "patient") if patients else "patients not known",
        console.count(index.num_cases, "case"),
        console.count(index.num_images, "image"),
        console.count(int((index.images_per_case > 1).sum()), "case") + " with several",
    ]
    labels = index.findings if index.findings.size else index.class_label
    parts.append(f"{console.count(int(is_labelled(labels).sum()), 'image')} labelled")
    return f"{label}: {', '.join(parts)}"


def _class_lines(data, most=30):
    """A table of the images per class and split, the most frequent classes first."""
    counts = np.stack(
        [
            np.bincount(index.class_label[index.class_label >= 0], minlength=len(data.class_names))
            for index in data.index.values()
        ]
    )
    order = np.argsort(-counts.sum(axis=0), kind="stable")
    cells = {data.class_names[k]: [f"{n:,}" for n in counts[:, k]] for k in order[:most]}
    more = [f"  and {len(order) - most} more classes"] if len(order) > most else []
    return _table("images of", list(data.index), cells) + more


def _finding_lines(data):
    """A table of how often each finding is there, per split."""
    meanings = {1: "present", 0: "absent", -1: "uncertain", -2: "not mentioned"}
    shown = data.default_findings or data.finding_names
    there = [
        v for v in meanings if any((index.findings == v).any() for index in data.index.values())
    ]
    cells = {}
    for name in shown:
        columns = [index.findings[:, column_of(data, name)] for index in data.index.values()]
        cells[name] = [" / ".join(f"{(c == v).sum():,}" for v in there) for c in columns]
    title = " / ".join(meanings[value] for value in there)
    more = len(data.finding_names) - len(shown)
    more = [f"  and {more} more with --findings=all"] if more else []
    return _table(title, list(data.index), cells) + more


def _table(title, columns, cells):
    """Lines of a table: {row: a text per column}."""
    widths = [
        max(len(column), *(len(row[k]) for row in cells.values()))
        for k, column in enumerate(columns)
    ]
    first = max(len(title), *map(len, cells))
    return [
        "  ".join(["", name.ljust(first), *map(str.rjust, row, widths)])
        for name, row in {title: columns, **cells}.items()
    ]


def _report_lines(prepared):
    """What was left out, what is there twice, and what shrinking saved, for a person."""
    facts, lines = prepared.report, []
    where = f"; all in {prepared.folder}/{report.FILE}" if prepared.folder else ""
    bad, twice = facts.get("bad_images", []), facts.get("identical_images", [])
    if bad:
        more = where if len(bad) > _LISTED else ""
        lines.append(f"left out: {console.count(len(bad), 'bad image')}{more}")
        lines += [f"  {message}" for message in bad[:_LISTED]]
    if twice:
        more = where if len(twice) > _LISTED else ""
        lines.append(f"{console.count(len(twice), 'picture')} in several splits{more}")
        groups = [[(image["split"], image["image_id"]) for image in group] for group in twice]
        lines += [f"  {_identical(group)}" for group in groups[:_LISTED]]
    if facts.get("turned"):
        turned = console.count(facts["turned"], "photo")
        lines.append(f"{turned} turned upright, as the EXIF orientation says")
    if facts.get("with_position"):
        where = console.count(facts["with_position"], "file")
        lines.append(f"{where} with a GPS position; --strip_metadata stores them without")
    before, after = facts.get("source_bytes", 0), facts.get("stored_bytes", 0)
    if facts.get("max_image_side"):
        side = f"{facts['max_image_side']} pixels"
        lines.append(f"shrunk to {side}: {_megabytes(after)} in place of {_megabytes(before)}")
    return lines


def _identical(group, most=4):
    """Some of a group, with an image of each split."""
    first = [next(image for image in group if image[0] == split) for split in dict(group)]
    shown = (first + [image for image in group if image not in first])[:most]
    more = f" and {len(group) - most:,} more" if len(group) > most else ""
    return " = ".join(f"{image} ({split})" for split, image in shown) + more


def _megabytes(size):
    return f"{size / 1e6:,.1f} MB" if size >= 1e6 else f"{size / 1e3:,.0f} kB"
