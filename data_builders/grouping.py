"""From rows, one per image, to cases: who belongs together, which labels agree, which split."""

import collections
import dataclasses
import functools
import hashlib
import json

from data_builders.ids import LITERAL, SpelledRows, refuse_long
from data_builders.image_files import ImageFile
from data_builders.reading.tables import one_of
from data_builders.schema import (
    NOT_MENTIONED,
    UNLABELLED,
    BadData,
    BadImages,
    Case,
    CaseImage,
    CaseSource,
)
from data_builders.splits import (
    SPLITS,
    STAND_INS,
    TEST_SHARE,
    VALIDATION_SHARE,
    complete_splits,
    key_of_spellings,
    patient_key,
)
from data_builders.studies import Studies

# A patient of more cases than both of these may be none: "unknown", "0".
_MANY_CASES, _LARGE_SHARE = 20, 0.1


@dataclasses.dataclass(frozen=True)
class ReadOptions:
    """How the files of a dataset are read.

    Attributes:
      group_by: which images are a case: those of a "study", of a "patient", each "image" alone, or
        "case", the dataset's own answer.
      labels_shared_by_case: False: the images of a case have labels of their own, also where
        the dataset's own answer is that they share them.
      bad_images: those that are left out, and how many may be.
      ids: "alike": spellings of one id are one, see `ids`, and what studies say of patients that
        are not known counts, see `studies`; "literal": ids are what is written, and no more.
    """

    group_by: str = "case"
    labels_shared_by_case: bool = True
    bad_images: BadImages = dataclasses.field(default_factory=BadImages)
    ids: str = "alike"


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
    rows, options=None, *, named_in="", class_names=None, finding_names=(), default_findings=(),
    synonyms=None, labels_shared_by_case=True, shares=(VALIDATION_SHARE, TEST_SHARE), notes=(),
):  # fmt: skip
    """Groups images by case and gives every patient a split.

    Args:
      rows: list of `ImageRow`. It is emptied as cases are made, so that a dataset is not in
        memory twice.
      options: `ReadOptions`; None for the default ones.
      named_in: the file or flag that names the images, for the message if there is none.
      class_names: the labels there can be, in their order; None: those that occur, sorted.
      finding_names, default_findings, synonyms, notes: see `CaseSource`.
      labels_shared_by_case: the labels, or findings, of a case must agree, and an image of the
        case without one has the case's. A case that is a patient, or several of the data's
        cases, shares none.
      shares: of the patients, for validation and test where no split is stated.

    Returns:
      A `CaseSource`.

    Raises:
      BadData: there is no image or one twice, the labels or the patient of a case contradict each
        other, a label is not known, a patient is in two splits, or there is no key to group
        by as `options` say.
    """
    options = options or ReadOptions()
    if not rows:
        raise BadData(f"{named_in}: no images in it")
    shared = labels_shared_by_case and options.labels_shared_by_case
    refuse_long(rows, ("case_id", "patient_id", "study_id"))
    _refuse_repeated_files(rows)
    known_classes = _class_names(rows) if class_names is None else class_names
    choices = [options.group_by, shared, shares, known_classes, finding_names]
    fingerprint = _fingerprint(rows, choices)  # of what is written
    spelled = SpelledRows(rows, class_names is None, options.ids)
    if options.group_by in ("image", "study") and options.ids != LITERAL:
        spelled.decide(_carry_patients_over(rows))
    if class_names is None:
        class_names = _class_names(rows)
    stated = _CaseLabels(rows, class_names, finding_names, shared)
    studies = Studies(rows, options)
    key_of, note = _grouping_key(rows, options.group_by, studies)
    decisions = [*spelled.decisions, *studies.decisions]
    if decisions:  # else the name stays what it was before there were any
        fingerprint.update(json.dumps(decisions).encode())
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
        key, patient_id = _who(
            case_id, patient_id, members[0], group_by=options.group_by,
            spelled=spelled, studies=studies, shares=shares,
        )  # fmt: skip
        patients[case_id] = key
        images = tuple(
            CaseImage(row.image, row.file, row.view, *stated.of(row), where=row.where)
            for row in members
        )
        cases.append(Case(case_id, patient_id, images, _case_attributes(members)))
        is_study = bool(studies.owners(members[0]))
        advice = functools.partial(spelled.advice, patient_id, case_id, is_study)
        _note_split(first_stated, key, members, advice)
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
        notes=tuple(
            line
            for line in (*notes, *spelled.notes, *studies.notes, note, made, _note_on_many(cases))
            if line
        ),
        bad_images=options.bad_images,
        fingerprint=fingerprint.hexdigest(),
        stamp=stamp,
    )


def _class_names(rows):
    return tuple(sorted({row.label for row in rows if row.label}))


def _carry_patients_over(rows):
    """Gives images without a patient that of their case, before cases are made of others.

    Returns:
      A note; "" if there was nothing to do.
    """
    patients_of = collections.defaultdict(set)
    for row in rows:
        if row.patient_id:
            patients_of[row.case_id].add(row.patient_id)
    count = 0
    for k, row in enumerate(rows):
        if not row.patient_id and len(patients_of.get(row.case_id, ())) == 1:
            (patient,) = patients_of[row.case_id]
            rows[k] = dataclasses.replace(row, patient_id=patient)
            count += 1
    return f"images without a patient, which are taken to be of their case's: {count:,}" * (
        count > 0
    )


def _who(case_id, patient_id, row, *, group_by, spelled, studies, shares):
    """Who must stay in one split with a case: (key that decides the split, patient_id to store).

    Args:
      case_id, patient_id: of the case as it is made.
      row: its first one.
      group_by: as in `ReadOptions`.
      spelled: `SpelledRows`.
      studies: `Studies`.
      shares: see `choose_split`.
    """
    stands_in = False
    if patient_id:
        keys = [patient_key(text, "") for text in spelled.spellings("patient_id", patient_id)]
    elif studies.owners(row):
        keys, stands_in = studies.owners(row), True
    elif group_by == "image" or studies.keeps_case(row):
        keys, stands_in = _case_keys(spelled, row.case_id), True
    elif group_by == "study":
        names = studies.spellings(row, spelled.spellings("case_id", row.case_id))
        keys = [patient_key("", text) for text in names]
    else:
        keys = _case_keys(spelled, case_id)
    key = key_of_spellings(keys, shares) if len(keys) > 1 else keys[0]
    return key, key if stands_in else patient_id


def _case_keys(spelled, case_id):
    return [patient_key("", text) for text in spelled.spellings("case_id", case_id)]


def _note_on_many(cases):
    """A line on a patient who has so many cases that he may stand for nobody; "" for none."""
    count = collections.Counter(case.patient_id for case in cases)
    del count[""]
    if not count:
        return ""
    (patient, number), *_ = count.most_common(1)
    if number <= max(_MANY_CASES, _LARGE_SHARE * len(cases)) or patient.startswith(STAND_INS):
        return ""
    return (
        f"patient {patient} has {number:,} of {len(cases):,} cases, all in one split: if that "
        "stands for patients who are not known, leave patient_id blank there"
    )


def _note_split(first_stated, key, members, advice):
    """Keeps the first row that states a split of `key`, None until there is one.

    Raises:
      BadData: another row states another split; it ends in what `advice` returns.
    """
    first_stated.setdefault(key, None)
    for row in members:
        if row.split:
            first_stated[key] = first = first_stated[key] or row
            if first.split != row.split:
                raise BadData(
                    f"{row.where}: {key} is in {_split_of(row)}, but in {_split_of(first)} in "
                    f"{first.where}; a patient must stay in one split{advice()}"
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


def _grouping_key(rows, group_by, studies):
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
    return (studies.id_of if group_by == "study" else lambda row: row.patient_id), ""


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
    values = zip(finding_names, zip(*(row.findings for row in members), strict=True), strict=True)
    findings = tuple(
        _agreed(members, stated, f"has {name}", advice, absent=NOT_MENTIONED)
        for name, stated in values
    )
    return label, findings


def _agreed(members, values, verb, advice="", absent=""):
    """The one value the rows of a case state, or `absent`; raises BadData on a contradiction."""
    stated = [(row, value) for row, value in zip(members, values, strict=True) if value != absent]
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
    """SHA-256 of what the rows say, of the sizes of the images, and of how they are grouped."""
    digest = hashlib.sha256(json.dumps(choices).encode())
    for row in rows:
        stated = [row.image, row.case_id, row.patient_id, row.study_id, row.label, row.view]
        stated += [row.split, row.attributes, row.file.size, *row.findings]
        digest.update(json.dumps(stated, sort_keys=True).encode())
    return digest
