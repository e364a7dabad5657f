"""From rows, one per image, to cases: who belongs together, which labels agree, which split."""

import collections
import dataclasses
import hashlib
import json

from data_builders.case_builder import (
    NOT_MENTIONED,
    UNLABELLED,
    BadData,
    BadImages,
    Case,
    CaseImage,
    CaseSource,
)
from data_builders.image_files import ImageFile
from data_builders.splits import SPLITS, TEST_SHARE, VALIDATION_SHARE, complete_splits, patient_key
from data_builders.tables import one_of


@dataclasses.dataclass(frozen=True)
class ReadOptions:
    """How the files of a dataset are read.

    Attributes:
      group_by: which images are a case: those of a "study", of a "patient", each "image" alone, or
        "case", the dataset's own answer.
      labels_shared_by_case: False: the images of a case have labels of their own, also where
        the dataset's own answer is that they share them.
      bad_images: those that are left out, and how many may be.
    """

    group_by: str = "case"
    labels_shared_by_case: bool = True
    bad_images: BadImages = dataclasses.field(default_factory=BadImages)


@dataclasses.dataclass(frozen=True, slots=True)
class ImageRow:
    """One image as its dataset states it; blank means absent.

    Attributes:
      where: file and row, for messages.
      file: the `ImageFile`.
      image: name of the image, unique in the dataset; never a local path.
      case_id, patient_id, study_id: unique in the dataset, as "patient00001/study2".
      label: name of the class.
      view: how it was taken.
      split: one of `SPLITS`.
      split_from: the file that says so, if it is another one than that of `where`.
      findings: as in `CaseImage`.
      attributes: {name: text}, kept with the case.
    """

    where: str
    file: ImageFile
    image: str
    case_id: str
    patient_id: str = ""
    study_id: str = ""
    label: str = ""
    view: str = ""
    split: str = ""
    split_from: str = ""
    findings: tuple = ()
    attributes: dict = dataclasses.field(default_factory=dict)


def group_rows(
    rows, options=None, *, class_names=None, finding_names=(), default_findings=(),
    synonyms=None, labels_shared_by_case=True, shares=(VALIDATION_SHARE, TEST_SHARE), notes=(),
):  # fmt: skip
    """Groups images by case and gives every patient a split.

    Args:
      rows: list of `ImageRow`, one or more. It is emptied as cases are made, so that a dataset
        is not in memory twice.
      options: `ReadOptions`; None for the default ones.
      class_names: the labels there can be, in their order; None: those that occur, sorted.
      finding_names, default_findings, synonyms, notes: see `CaseSource`.
      labels_shared_by_case: the labels, or findings, of a case must agree, and an image of the
        case without one has the case's. A case that is a patient, or several of the data's
        cases, shares none.
      shares: of the patients, for validation and test where no split is stated.

    Returns:
      A `CaseSource`.

    Raises:
      BadData: an image is there twice, the labels or the patient of a case contradict each
        other, a label is not known, a patient is in two splits, or there is no key to group
        by as `options` say.
    """
    options = options or ReadOptions()
    shared = labels_shared_by_case and options.labels_shared_by_case
    _refuse_repeated_files(rows)
    if class_names is None:
        class_names = tuple(sorted({row.label for row in rows if row.label}))
    stated = _CaseLabels(rows, class_names, finding_names, shared)
    key_of, note = _grouping_key(rows, options.group_by)
    fingerprint = _fingerprint(rows, [options.group_by, shared, shares, class_names, finding_names])
    stamp = hashlib.sha256(
        b"".join(row.file.written.to_bytes(8, "big") for row in rows)
    ).hexdigest()
    by_case = collections.defaultdict(list)
    for row in rows:
        by_case[key_of(row)].append(row)
    rows.clear()

    cases, first_stated, patients = [], {}, {}
    shared = shared and options.group_by != "patient"
    for case_id in list(by_case):
        members = by_case.pop(case_id)
        shared = shared and all(row.case_id == members[0].case_id for row in members)
        patient_id = _agreed(members, [row.patient_id for row in members], "is of patient")
        owner = members[0].case_id if options.group_by == "image" else case_id
        patients[case_id] = key = patient_key(patient_id, owner)
        if options.group_by == "image" and not patient_id:
            patient_id = key  # the images of a case stay together, and in the split it has
        images = tuple(
            CaseImage(row.image, row.file, row.view, *stated.of(row), where=row.where)
            for row in members
        )
        cases.append(Case(case_id, patient_id, images, _case_attributes(members)))
        first_stated.setdefault(key, None)
        for row in members:
            if row.split:
                first_stated[key] = first = first_stated[key] or row
                if first.split != row.split:
                    raise BadData(
                        f"{row.where}: {key} is in {_split_of(row)}, but in {_split_of(first)} in "
                        f"{first.where}; a patient must stay in one split"
                    )
    split_of, made = complete_splits(
        {key: row.split if row else "" for key, row in first_stated.items()}, shares
    )
    by_split = {split: [] for split in SPLITS}
    for case in cases:
        by_split[split_of[patients[case.case_id]]].append(case)
    return CaseSource(
        cases={split: members for split, members in by_split.items() if members},
        class_names=tuple(class_names),
        finding_names=tuple(finding_names),
        default_findings=tuple(default_findings),
        synonyms=synonyms or {},
        labels_shared_by_case=shared,
        notes=tuple(line for line in (*notes, note, made) if line),
        bad_images=options.bad_images,
        fingerprint=fingerprint,
        stamp=stamp,
    )


def _split_of(row):
    return row.split + (f" by {row.split_from}" if row.split_from else "")


def _refuse_repeated_files(rows):
    by_file = {}
    for row in rows:
        first = by_file.setdefault(row.file.key, row)
        if first is not row:
            same = first.case_id == row.case_id
            again = "is there twice" if same else f"is in case {first.case_id} too"
            raise BadData(f"{row.where}: image {row.image} {again} ({first.where})")


def _grouping_key(rows, group_by):
    """(function from a row to the id of its case, a note)."""
    if group_by == "case":
        return (lambda row: row.case_id), ""
    if group_by == "image":
        lacking = not all(row.patient_id for row in rows)
        note = "patients are not all known: the images of a case stay in one split"
        return (lambda row: row.image), note if lacking else ""
    name = f"{group_by}_id"
    there = [key for key in ("study", "patient") if any(getattr(row, f"{key}_id") for row in rows)]
    if group_by not in there:
        raise BadData(
            f"--group_by={group_by}: the data has no such key; it can be grouped by "
            f"{', '.join(['case', *there, 'image'])}"
        )
    for row in rows:
        if not getattr(row, name):
            raise BadData(f"--group_by={group_by}: {row.where} names no {group_by}")
    return (lambda row: getattr(row, name)), ""


class _CaseLabels:
    """The labels of images, completed from their case where it shares one."""

    def __init__(self, rows, class_names, finding_names, shared):
        self._class_of = {name: k for k, name in enumerate(class_names)} | {"": UNLABELLED}
        self._shared = {}
        for row in rows:
            if row.label not in self._class_of:
                raise BadData(
                    f"{row.where}: {row.label} is not a known label; known are "
                    f"{one_of(row.label, class_names)}"
                )
        if shared:
            by_case = collections.defaultdict(list)
            for row in rows:
                by_case[row.case_id].append(row)
            for case_id, members in by_case.items():
                if len(members) > 1:
                    self._shared[case_id] = _shared_labels(members, finding_names)

    def of(self, row):
        """(class_label, findings) of a row."""
        label, findings = self._shared.get(row.case_id, (row.label, row.findings))
        return self._class_of[label], findings


def _shared_labels(members, finding_names):
    """(label, findings) of a case."""
    advice = "; if the images of a case may differ, say --labels_shared_by_case=false"
    label = _agreed(members, [row.label for row in members], "has label", advice)
    values = zip(finding_names, zip(*(row.findings for row in members)))
    findings = tuple(
        _agreed(members, stated, f"has {name}", advice, absent=NOT_MENTIONED)
        for name, stated in values
    )
    return label, findings


def _agreed(members, values, verb, advice="", absent=""):
    """The one value the rows of a case state, or `absent`; raises BadData on a contradiction."""
    stated = [(row, value) for row, value in zip(members, values) if value != absent]
    for row, value in stated:
        first, agreed = stated[0]
        if value != agreed:
            raise BadData(
                f"{row.where}: case {row.case_id} {verb} {value}, but {agreed} in "
                f"{first.where}{advice}"
            )
    return stated[0][1] if stated else absent


def _case_attributes(members):
    """One value per attribute where the images agree, else a list with one per image."""
    attributes = {}
    for name in dict.fromkeys(name for row in members for name in row.attributes):
        values = [row.attributes.get(name, "") for row in members]
        attributes[name] = values[0] if len(set(values)) == 1 else values
    return attributes


def _fingerprint(rows, choices):
    """Hash of what the rows say, of the sizes of the images, and of how they are grouped."""
    digest = hashlib.sha256(json.dumps(choices).encode())
    for row in rows:
        stated = [row.image, row.case_id, row.patient_id, row.study_id, row.label, row.view]
        stated += [row.split, row.attributes, row.file.size, *row.findings]
        digest.update(json.dumps(stated, sort_keys=True).encode())
    return digest.hexdigest()
