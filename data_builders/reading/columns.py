"""Which columns of a manifest are ours: by their names, or as --columns says."""

import re

from data_builders.ids import as_text
from data_builders.schema import BadData

KNOWN_COLUMNS = ("image", "case_id", "patient_id", "study_id", "label", "view", "split")
_NEEDED = ("image", "case_id")
_SECOND_NAME = {"view": "view_position"}
# What others call our columns, as `_loose` leaves it.
_LOOKS_LIKE = {
    "case_id": ("case", "lesionid", "lesion"),
    "patient_id": ("patient", "subject", "subjectid", "person", "personid", "participant",
                   "participantid", "mrn", "pid"),
    "study_id": ("study", "exam", "examid", "studyinstanceuid", "accession", "accessionnumber"),
    "label": ("labels", "class", "classname", "category", "target", "dx", "diagnosis", "diagnostic",
              "disease", "condition", "findinglabel", "findinglabels", "groundtruth"),
    "view": ("projection", "imagetype"),
    "split": ("set", "subset", "fold", "partition"),
}  # fmt: skip


def parse_columns(text):
    """Reads --columns into {our name: the manifest's, "" for none}; raises BadData."""
    names = {}
    for item in filter(None, (part.strip() for part in text.split(","))):
        ours, equals, theirs = (part.strip() for part in item.partition("="))
        ours = "view" if ours == "view_position" else ours
        is_none = equals and not theirs and ours not in _NEEDED
        if not (theirs or is_none) or ours not in KNOWN_COLUMNS:
            raise BadData(
                f"--columns={text}: {item!r} is not OURS=YOURS with OURS one of "
                f"{', '.join(KNOWN_COLUMNS)}"
            )
        if ours in names:
            raise BadData(f"--columns={text}: {ours} is named twice")
        names[ours] = theirs
    return names


def column_places(table, renamed):
    """Where our columns are.

    An exact name wins; else capitals, blanks, underscores and hyphens do not count.

    Args:
      table: `tables.Table`.
      renamed: as from `parse_columns`.

    Returns:
      {our name: position} of the columns there are.

    Raises:
      BadData: a column that is needed is not there, or two have the name as well as each other.
    """
    place, taken = {}, {_loose(theirs) for theirs in renamed.values()}
    for ours in sorted(KNOWN_COLUMNS, key=lambda name: name not in renamed):
        names = (renamed[ours],) if ours in renamed else (ours, _SECOND_NAME.get(ours))
        position = _find(table, ours, [name for name in names if name], ours in renamed, taken)
        if position is not None:
            place[ours] = position
        elif renamed.get(ours):
            raise BadData(
                f"--columns={ours}={renamed[ours]}: {table.path} has no column {renamed[ours]}; "
                f"it has {table.listed()}"
            )
        elif ours in _NEEDED:
            raise BadData(
                f"{table.path} row 1: no column {ours}; it has {table.listed()}; "
                f"name yours with --columns={ours}=..."
            )
    return {ours: place[ours] for ours in KNOWN_COLUMNS if ours in place}


def _find(table, ours, names, renamed, taken):
    """The position of the column of one of these names; None if there is none.

    What --columns names for another of ours (`taken`) is ours only by an exact name.
    """
    for name in names:
        if name in table.header:
            return table.header.index(name)
    wanted = {_loose(name) for name in names} - (set() if renamed else taken)
    fitting = [place for place, name in enumerate(table.header) if name and _loose(name) in wanted]
    if len(fitting) > 1:
        shown = " and ".join(table.header[place] for place in fitting)
        raise BadData(
            f"{table.path} row 1: {shown} may each be the column {ours}; say which with "
            f"--columns={ours}={table.header[fitting[0]]}"
        )
    return fitting[0] if fitting else None


def _loose(name):
    return re.sub("[ _-]", "", as_text(name)).casefold()


def is_exact(ours, name):
    """Whether a column has our name, or the second one, to the letter."""
    return name in (ours, _SECOND_NAME.get(ours))


def exact_only(table, columns):
    """--columns with which only exact names count, as in versions before; "" if that is as it is.

    Args:
      table: `tables.Table`.
      columns: as the user wrote it.
    """
    renamed = parse_columns(columns)
    loose = [
        ours
        for ours in column_places(table, renamed)
        if ours not in renamed and not {ours, _SECOND_NAME.get(ours)} & {*table.header}
    ]
    return ",".join([*filter(None, [columns]), *(f"{ours}=" for ours in loose)]) if loose else ""


def unused_note(table, place, renamed, taken=()):
    """One line on columns that look like ours and are read as something else; "" for none.

    Args:
      table: `tables.Table`.
      place: as from `column_places`.
      renamed: as from `parse_columns`; what it names was decided by the user.
      taken: positions of columns that have another use.
    """
    used = {*place.values(), *taken}
    lookalikes = {}
    for ours, others in _LOOKS_LIKE.items():
        # A case of ours may be an image where the table knows of lesions.
        if ours in renamed or (ours in place and ours != "case_id"):
            continue
        for position, name in enumerate(table.header):
            if name and position not in used and _loose(name) in others:
                lookalikes.setdefault(ours, name)
    if not lookalikes:
        return ""
    wanted = {**renamed, **lookalikes}
    shown = ", ".join(f"{name} ({ours})" for ours, name in lookalikes.items())
    typed = ",".join(f"{ours}={name}" for ours, name in wanted.items())
    quoted = f"'--columns={typed}'" if " " in typed else f"--columns={typed}"
    return f"read as attributes, though their names look like ours: {shown}; to use them: {quoted}"
