"""When two ids are one, though a program or a person wrote them otherwise.

| what                                   | one id                      | two ids         |
|----------------------------------------|-----------------------------|-----------------|
| composed and decomposed (Unicode NFC)  | René, Rene + U+0301         |                 |
| characters that nobody sees            | A, A + U+200B               |                 |
| blanks                                 | A B, A  B, A + U+00A0 + B   | AB, A B         |
| upper and lower case                   | Smith, SMITH                |                 |
| the form of a number, of the whole id  | 7, 007, 7.0                 | 7, 70; 1.1, 1.10; A1, A01 |

The first three make two texts the same text (`as_text`); all five make two ids alike (`alike`).
Numbers are compared as text and never become floating point.
"""

import collections
import dataclasses
import re
import unicodedata

from data_builders.schema import BadData

LONGEST = 1000  # characters of an id
LITERAL = "literal"

# Control characters, and Unicode's default ignorable code points: joiners, marks of direction, the
# byte order mark, soft hyphens, variation selectors.
_INVISIBLE = re.compile(
    "[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e"
    "\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\U000e0000-\U000e0fff]"
)
_NUMBER = re.compile(r"0*([0-9]+?)(?:\.0+)?")
# What a spreadsheet makes of a number of more than 11 digits, and what may have been any of many.
_SHORTENED = re.compile(r"[0-9](?:[.,][0-9]+)?[eE]\+[0-9]+")


def as_text(text):
    """The text that is meant: composed, without invisible characters, blanks trimmed and single."""
    if not text.isascii() or not text.isprintable():
        text = unicodedata.normalize("NFC", _INVISIBLE.sub("", text))
    return " ".join(text.split())


def alike(text):
    """The same for all spellings of one id; see above."""
    text = as_text(text).casefold()
    if not text.isascii():  # folding may decompose
        text = unicodedata.normalize("NFC", text)
    number = _NUMBER.fullmatch(text)
    return number[1] if number else text


def is_shortened(text):
    """Whether a number lost its digits on the way, as 8.05E+37."""
    return bool(_SHORTENED.fullmatch(as_text(text)))


class Spellings:
    """Which of the ids of a table are one.

    Args:
      texts: the ids in the order of the rows, each as often as it is there.
      same: from an id to what is equal for equal ones: `alike` or `as_text`.

    Attributes:
      groups: a list of the spellings, in order, per id that has several.
      first: {spelling: the first one of its id} of these.
    """

    def __init__(self, texts, same):
        of_key = collections.defaultdict(list)
        for text in dict.fromkeys(texts):
            if text:
                of_key[same(text)].append(text)
        self.groups = [group for group in of_key.values() if len(group) > 1]
        self.first = {text: group[0] for group in self.groups for text in group}
        self._group_of = {text: group for group in self.groups for text in group}

    def of(self, text):
        """All spellings of the id that a text is one of."""
        return self._group_of.get(text, [text])

    def note(self, what):
        """ "patients written in several ways, each taken for one: 3, as 007 and 7"."""
        example = " and ".join(repr_of(text) for text in self.groups[0][:2])
        return (
            f"{what} written in several ways, each taken for one: {len(self.groups):,}, as "
            f"{example}; --ids={LITERAL} takes them as they are written"
        )


def repr_of(text):
    """A text for a message, with what cannot be seen, or be told apart, as its code point."""
    if text == as_text(text) and (text.isascii() or text.isprintable()):
        return text
    shown = [
        char
        if char.isprintable() and not _INVISIBLE.match(char) and not unicodedata.combining(char)
        else f"<U+{ord(char):04X}>"
        for char in text
    ]
    return f'"{"".join(shown)}"'


def refuse_alike(rows, name, what):
    """Raises BadData if two ids of a column agree but for case or the form of a number.

    Args:
      rows: list of rows with the attribute `where`.
      name: of the attribute that holds the id; blank ones are passed over.
      what: it is, for the message.
    """
    first = {}
    for row in rows:
        first.setdefault(getattr(row, name), row)
    by_key = {}
    for text, row in first.items():
        if not text:
            continue
        other, there = by_key.setdefault(alike(text), (text, row))
        if as_text(other) != as_text(text):
            raise BadData(
                f"{row.where}: {what} {repr_of(text)}, but {repr_of(other)} in {there.where}: they "
                "differ only by upper and lower case or the form of a number; write them alike if "
                f"they are one, or say --ids={LITERAL} if they are two"
            )


def refuse_long(rows, names):
    """Raises BadData, naming the row, if an id is longer than `LONGEST` characters."""
    for name in names:
        longest = max(rows, key=lambda row, name=name: len(getattr(row, name)))
        length = len(getattr(longest, name))
        if length > LONGEST:
            raise BadData(
                f"{longest.where}: {name} has {length:,} characters; ids of up to {LONGEST:,} are "
                "taken"
            )


class SpelledRows:
    """Makes one id of its spellings: of patients, cases and labels.

    Args:
      rows: list of `grouping.ImageRow`, in which every id gets its first spelling.
      labels: whether labels are texts of the table, and not names that are known.
      ids: as in `grouping.ReadOptions`.

    Raises:
      BadData: cases or labels that differ only by case or the form of a number.

    Attributes:
      notes, decisions: as in `studies.Studies`.
    """

    def __init__(self, rows, labels, ids):
        texts = {"patient_id": alike, "case_id": as_text} | ({"label": as_text} if labels else {})
        if ids == LITERAL:
            texts = {}
        for name, what in (("case_id", "case"), ("label", "label")):
            if name in texts:
                refuse_alike(rows, name, what)
        self._of = {
            name: Spellings((getattr(row, name) for row in rows), same)
            for name, same in texts.items()
        }
        several = {name: found for name, found in self._of.items() if found.groups}
        nouns = {"patient_id": "patients", "case_id": "cases", "label": "classes"}
        self.decisions = [f"{name} alike" for name in several]
        self.notes = [found.note(nouns[name]) for name, found in several.items()]
        for k, row in enumerate(rows) if several else ():
            first = {name: found.first.get(getattr(row, name)) for name, found in several.items()}
            if changes := {name: text for name, text in first.items() if text}:
                rows[k] = dataclasses.replace(row, **changes)

    def decide(self, what):
        """Notes that something else was decided, if `what` says so."""
        if what:
            self.decisions.append(what.rpartition(":")[0])
            self.notes.append(what)

    def spellings(self, name, text):
        """All spellings of an id."""
        return self._of[name].of(text) if name in self._of else [text]

    def advice(self, patient_id, case_id, is_study):
        """What to add to an error about somebody who is written in several ways, or is a study."""
        spellings = self.spellings("patient_id", patient_id)
        if not patient_id:
            spellings = self.spellings("case_id", case_id)
        if len(spellings) > 1:
            shown = ", ".join(map(repr_of, spellings))
            return f"; {shown} are taken for one, unless --ids={LITERAL}"
        return f"; studies do not count with --ids={LITERAL}" if is_study else ""
