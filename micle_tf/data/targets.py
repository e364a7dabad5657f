"""What a classifier predicts: one class of an image, or several findings; and who is labelled."""

import collections
import dataclasses
import hashlib

import numpy as np

from data_builders.ids import as_text
from data_builders.reading.tables import one_of
from data_builders.schema import NOT_MENTIONED, UNCERTAIN
from micle_tf import console
from micle_tf.errors import BadInput
from micle_tf.settings import Tag, tagged

OTHER = "Other"


@dataclasses.dataclass(frozen=True)
class Targets:
    """The outputs of a classifier.

    Attributes:
      names: of the classes or findings, in the order of the outputs.
      multilabel: False: each image has one class (softmax); True: any number of findings
        (sigmoid), each of which may be unknown.
      has_rest: the last class is "Other", which stands for all that are not named.
      uncertain: what a finding is that is stated as uncertain: "ignore" (neither learned nor
        judged), "zeros" (absent) or "ones" (present), the policies U-Ignore, U-Zeros and U-Ones
        of CheXpert (Irvin et al., 2019).
      unmentioned: what a finding is that is not mentioned for an image of which others are:
        "zeros" or "ignore". An image of which nothing at all is mentioned is unlabelled.
    """

    names: tuple
    multilabel: bool
    has_rest: bool = False
    uncertain: str = "ignore"
    unmentioned: str = "zeros"

    def to_json(self):
        """As plain JSON; `Targets(**...)` is the inverse."""
        return dataclasses.asdict(self) | {"names": list(self.names)}

    def __post_init__(self):
        object.__setattr__(self, "names", tuple(self.names))

    @classmethod
    def of_flags(cls, data, labels, policy, *, train_split, findings):
        """`of` with what the flags say: `Labels` and `LabelPolicy`; notes what does nothing."""
        targets = cls.of(
            data, labels.top_classes, train_split, findings, policy.uncertain, policy.unmentioned
        )
        for flag in () if targets.multilabel else tagged(policy, Tag.POLICY):
            if getattr(policy, flag) != getattr(type(policy), flag):
                console.say(f"note: --{flag} does nothing without findings")
        return targets

    @classmethod
    def of(
        cls, data, top_classes=0, split="train", findings="", uncertain="ignore",
        unmentioned="zeros",
    ):  # fmt: skip
        """The targets of a dataset.

        Args:
          data: `CaseData`.
          top_classes: above 0, only so many classes are kept, those with the most labelled
            images in `split`; all others become "Other", one of that name too. Those kept stay
            in their order.
          split: where the classes are counted.
          findings: names, separated by commas, or "all"; empty: the dataset's default ones.
          uncertain, unmentioned: see the attributes.

        Raises:
          BadInput: nothing is labelled, or top_classes or findings do not fit.
        """
        if data.finding_names:
            if top_classes:
                raise BadInput(f"--top_classes={top_classes}: {data.name} has findings, no classes")
            return cls(_chosen(findings, data), True, False, uncertain, unmentioned)
        if findings:
            raise BadInput(f"--findings={findings}: {data.name} has one class per image")
        if not data.class_names:
            raise BadInput(f"--dataset: {data.name} has no labels")
        if top_classes >= len(data.class_names):
            raise BadInput(
                f"--top_classes={top_classes}: {data.name} has only {len(data.class_names)} classes"
            )
        if len(data.class_names) == 1:
            raise BadInput(
                f"--dataset: {data.name} has one class, {data.class_names[0]}: there is nothing to "
                "tell apart"
            )
        if not top_classes:
            return cls(data.class_names, False)
        labels = data.open(split).index.class_label
        count = np.bincount(labels[labels >= 0], minlength=len(data.class_names))
        frequent = [k for k in np.argsort(-count, kind="stable") if data.class_names[k] != OTHER]
        names = [data.class_names[k] for k in sorted(frequent[:top_classes])]
        return cls((*names, OTHER), False, has_rest=True)

    def labels(self, data, index, flag="--dataset"):
        """The labels of a split, in the order of these targets.

        Args:
          data: `CaseData`; its classes or findings may stand in another order, and classes
            may be missing.
          index: `CaseIndex` of a split of it.
          flag: what to name in errors.

        Returns:
          [I] int64 classes, -1 if unlabelled; or [I, K] int8 findings: 1 or 0, as
          `uncertain` and `unmentioned` say; what is neither learned nor judged is -1 if
          uncertain and -2 if not mentioned, also where the dataset lacks a finding.

        Raises:
          BadInput: the dataset has labels of the other kind, a class that is not among the
            names (unless they have a rest), or no finding that is.
        """
        if self.multilabel and data.class_names:
            raise BadInput(
                f"{flag}: {data.name} has one class per image, and the classifier predicts "
                "findings; name a manifest's with --findings or --findings_column"
            )
        if data.finding_names and not self.multilabel:
            raise BadInput(
                f"{flag}: {data.name} has findings, and the classifier predicts one class per image"
            )
        if self.multilabel and not data.finding_names:  # nothing is labelled
            return np.full((index.num_images, len(self.names)), NOT_MENTIONED, np.int8)
        if self.multilabel:
            columns = {name: column_of(data, name) for name in self.names}
            if all(column is None for column in columns.values()):
                raise BadInput(f"{flag}: {data.name} has none of {_listed(self.names)}")
            stated = np.full((index.num_images, len(self.names)), NOT_MENTIONED, np.int8)
            for k, column in enumerate(columns.values()):
                if column is not None:
                    stated[:, k] = self._judged(index.findings, column)
            return stated
        number = {as_text(name): k for k, name in enumerate(self.names)}
        number |= {name: k for k, name in enumerate(self.names)}
        places = {name: number.get(name, number.get(as_text(name))) for name in data.class_names}
        unknown = [name for name, place in places.items() if place is None]
        if unknown and not self.has_rest:
            raise BadInput(
                f"{flag}: {data.name} has the class {unknown[0]}, which the classifier does not "
                f"know; it knows {_listed(self.names)}"
            )
        rest = len(self.names) - 1
        new = [rest if place is None else place for place in places.values()] + [-1]
        return np.array(new, np.int64)[index.class_label]

    def _judged(self, findings, column):
        """[I] int8: one finding, after the two policies."""
        values = findings[:, column].copy()
        if self.unmentioned == "zeros":
            values[(values == NOT_MENTIONED) & (findings != NOT_MENTIONED).any(axis=1)] = 0
        if self.uncertain != "ignore":
            values[values == UNCERTAIN] = int(self.uncertain == "ones")
        return values


def column_of(data, name):
    """Where a dataset keeps a finding, under this name or its own; None if it has none.

    Upper and lower case are the same where no name is there to the letter.
    """
    for candidate in (name, data.synonyms.get(name)):
        if candidate in data.finding_names:
            return data.finding_names.index(candidate)
    same = lambda text: as_text(text).casefold()
    alike = [k for k, there in enumerate(data.finding_names) if same(there) == same(name)]
    return alike[0] if alike else None


def _chosen(findings, data):
    """The findings to predict, of a dataset that has any."""
    if not findings:
        return data.default_findings or data.finding_names
    if findings == "all":
        return data.finding_names
    names = tuple(name.strip() for name in findings.split(","))
    for name in names:
        if column_of(data, name) is None:
            raise BadInput(
                f"--findings={findings}: {data.name} has no finding {name}; it has "
                f"{one_of(name, data.finding_names)}"
            )
        if [column_of(data, other) for other in names].count(column_of(data, name)) > 1:
            raise BadInput(f"--findings={findings}: {name} is named twice")
    return names


def _listed(names, most=20):
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def is_labelled(labels):
    """[I] bool: which of [I] classes or [I, K] findings say anything."""
    return labels >= 0 if labels.ndim == 1 else (labels >= 0).any(axis=1)


def choose_labelled(labels, index, fraction, seed):
    """The images whose labels a run may learn from.

    Whole cases are chosen, class by class, those first whose id has the lowest hash: with
    one seed a smaller fraction is a part of a larger one, every class keeps its share, and
    at least one case. A case counts for the class of its first labelled image; with
    findings, for its rarest finding that is present, or for none.

    Args:
      labels: [I] classes or [I, K] findings.
      index: `CaseIndex`.
      fraction: share of the labelled cases, above 0 to 1.
      seed: another seed, other cases.

    Returns:
      [L] int64, numbers of labelled images, ascending.
    """
    labelled, case = is_labelled(labels), index.case_of_image
    if fraction == 1:
        return np.flatnonzero(labelled)
    members = collections.defaultdict(list)
    for stratum, number in _strata(labels, labelled, case):
        members[stratum].append(number)
    chosen = np.zeros(index.num_cases, bool)
    for cases in members.values():
        by_hash = sorted(cases, key=lambda c: _hash(f"{seed} {index.case_id[c]}"))
        chosen[by_hash[: max(1, round(fraction * len(cases)))]] = True
    return np.flatnonzero(labelled & chosen[case])


def _strata(labels, labelled, case):
    """(stratum, case) of every case with a label."""
    images = np.flatnonzero(labelled)
    if labels.ndim == 1:
        cases, first = np.unique(case[images], return_index=True)
        return list(zip(labels[images[first]].tolist(), cases.tolist(), strict=True))
    cases = np.unique(case[images])
    present = np.zeros((case.max() + 1, labels.shape[1]), bool)
    np.logical_or.at(present, case, labels == 1)
    present = present[cases]
    frequency = present.sum(axis=0)
    by_rarity = np.argsort(frequency, kind="stable")
    rarest = [next((int(k) for k in by_rarity if row[k]), -1) for row in present]
    return list(zip(rarest, cases.tolist(), strict=True))


def _hash(text):
    return hashlib.sha256(text.encode()).digest()
