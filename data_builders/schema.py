"""The schema of every dataset here: a case, its images, its labels; and what bad data is called.

A case is one patient's set of images of one condition. A dataset's own builder only turns
files into cases (see `grouping`); all else is the same for all.
"""

import collections
import dataclasses
from collections.abc import Callable, Mapping

UNLABELLED = -1  # a class
UNCERTAIN, NOT_MENTIONED = -1, -2  # a finding


@dataclasses.dataclass(frozen=True, slots=True)
class CaseImage:
    """One image of a case, not yet read.

    Attributes:
      image_id: name of the image, unique in the dataset; never a local path.
      read: returns the encoded image. Called once, by any thread, just before the case is
        written. If it is an `ImageFile`, messages name the file too.
      view_position: how it was taken ("PA", "close-up", ...); "" if unknown.
      class_label: index of the class, or -1 (`UNLABELLED`).
      findings: one of 1, 0, -1 (uncertain), -2 (`NOT_MENTIONED`) per finding;
        empty for a dataset with one class per image. Where all are -2, nothing is known.
      where: the row that names it, for messages ("cases.csv row 7"); not stored.
    """

    image_id: str
    read: Callable[[], bytes]
    view_position: str = ""
    class_label: int = UNLABELLED
    findings: tuple[int, ...] = ()
    where: str = ""

    @property
    def source(self) -> str:
        """Row and file, for messages about what is in the file."""
        shown = getattr(self.read, "shown", self.where)
        return shown if self.where == shown else f"{self.where}: {shown}"


@dataclasses.dataclass(frozen=True, slots=True)
class Case:
    """One case, as every builder hands it over. `images` holds one or more.

    An attribute is one of the case, or a list with one of each image.
    """

    case_id: str
    patient_id: str
    images: tuple[CaseImage, ...]
    attributes: Mapping[str, str | list[str]] = dataclasses.field(default_factory=dict)


class BadData(ValueError):
    """The source cannot become cases. One line: what is wrong, in which file and row."""


class BadImages:
    """Images that are left out, up to a limit.

    Args:
      limit: how many may be left out.

    Attributes:
      messages: one each, in order.
    """

    def __init__(self, limit: int = 0) -> None:
        self.limit = limit
        self.messages: list[str] = []

    def add(self, message: str) -> None:
        """Notes a bad image; raises BadData if there are more than `limit`."""
        self.messages.append(message)
        if not self.limit:
            raise BadData(message)
        if len(self.messages) > self.limit:
            raise BadData(f"{message}; that makes more than --max_bad_images={self.limit}")


@dataclasses.dataclass(frozen=True)
class CaseSource:
    """What the files of a dataset say; made by `grouping.group_rows`.

    Attributes:
      cases: {split: [Case]}, of the splits that have any.
      class_names: in the order of the labels; empty if nothing is labelled, or with findings.
      finding_names: in the order of the values; empty where each image has one class.
      default_findings: those that a classifier predicts unless told; empty: all.
      synonyms: {another set's name of a finding: ours}, so that a classifier of that set can be
        judged on this one.
      labels_shared_by_case: the images of a case carry one label.
      notes: one line each on what was decided for the user.
      bad_images: `BadImages` that were left out so far.
      fingerprint: hash of what the rows say and of the sizes of the images.
      stamp: hash of when the images were written. A copy of the files has another one, so it
        is no part of the fingerprint.
      threads: read images in several threads; not where reading is Python's own work.
      counts: of the images stored so far, see `read_case`.
    """

    cases: Mapping[str, list]
    class_names: tuple = ()
    finding_names: tuple = ()
    default_findings: tuple = ()
    synonyms: Mapping[str, str] = dataclasses.field(default_factory=dict)
    labels_shared_by_case: bool = True
    notes: tuple = ()
    bad_images: BadImages = dataclasses.field(default_factory=BadImages)
    fingerprint: str = ""
    stamp: str = ""
    threads: bool = True
    counts: collections.Counter = dataclasses.field(default_factory=collections.Counter)

    @property
    def num_cases(self) -> int:
        """Of all splits."""
        return sum(len(cases) for cases in self.cases.values())
