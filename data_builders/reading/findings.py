"""Findings in a manifest: several labels per image, each of which may be unknown.

They are written in one of two ways, as in the public sets of chest X-rays: in a column per
finding that holds 1, 0, -1 (uncertain) or nothing (CheXpert, Irvin et al., 2019), or as names
separated by "|" in one column (ChestX-ray14, Wang et al., 2017).
"""

from data_builders.ids import alike, as_text
from data_builders.reading.missing import Missing
from data_builders.reading.tables import one_of
from data_builders.schema import NOT_MENTIONED, BadData


def parse_findings(text, literal=False):
    """Reads --findings into names, () if it is empty; raises BadData.

    `literal`: as of --ids, names that differ in spelling are several.
    """
    names = tuple(name.strip() for name in text.split(",")) if text else ()
    for name in names:
        if not name:
            raise BadData(f"--findings={text}: an empty name")
        if names.count(name) > 1:
            raise BadData(f"--findings={text}: {name} is named twice")
        if not literal:
            _refuse_twins(name, names, f"--findings={text}: it")
    return names


class FindingColumns:
    """The columns of a CSV that state findings.

    Args:
      manifest: the CSV, for messages.
      header: the names of its columns.
      findings: names of columns of values; or which names of `findings_column` to keep,
        in which order.
      findings_column: the column of names; default: none.
      taken: {column: what else it is, such as "image"}.
      missing: `Missing`; None for the usual one.
      literal: as of --ids, names that differ in spelling are several.

    Raises:
      BadData: a name is empty or there twice, or there is no such column, or it is taken.

    Attributes:
      places: {column: position}.
    """

    def __init__(
        self,
        manifest,
        header,
        *,
        findings="",
        findings_column="",
        taken=None,
        missing=None,
        literal=False,
    ):
        self._missing, self._literal = missing or Missing(), literal
        self._manifest, self._column = manifest, findings_column.strip()
        self._names = parse_findings(findings, literal)
        self._spelling = {as_text(name): name for name in self._names}
        self._flag = self._column_flag = f"--findings={findings}"
        wanted = self._names
        if findings_column:
            wanted, self._column_flag = (self._column,), f"--findings_column={findings_column}"
        present = [name for name in header if name]
        for name in wanted:
            if name not in present:
                raise BadData(
                    f"{self._column_flag}: {manifest} has no column {name}; "
                    f"it has {one_of(name, present)}"
                )
            if taken and name in taken:
                raise BadData(f"{self._column_flag}: column {name} is the {taken[name]} already")
        self.places = {name: header.index(name) for name in wanted}

    def read(self, where, fields):
        """What a row states, for `complete`; raises BadData."""
        if self._column:
            return self._read_names(where, fields[self.places[self._column]])
        values = {}
        for name, place in self.places.items():
            values[name] = _value(as_text(self._missing.read(where, name, fields[place])))
            if values[name] is None:
                raise BadData(
                    f"{where}: column {name} holds {fields[place]}, expected 1, 0, -1 or blank"
                )
        return values, NOT_MENTIONED

    def _read_names(self, where, cell):
        """({name: 1}, value of all other findings)."""
        named = set()
        for name in (" ".join(name.split()) for name in cell.split("|")):
            name = self._missing.read(where, self._column, name, "findings_column")
            if as_text(name):  # the first spelling, for Unicode composes a text or does not
                key = name if self._literal else as_text(name)
                named.add(self._spelling.setdefault(key, name))
        present = {name for name in named if name.lower() != "no finding"}
        if present and present != named:
            raise BadData(
                f"{where}: column {self._column} holds {cell}, but No Finding stands alone"
            )
        return dict.fromkeys(present, 1), 0 if named else NOT_MENTIONED

    def complete(self, stated):
        """Gives every row a value for every finding.

        Args:
          stated: what `read` returned, per row.

        Returns:
          (K names, a tuple of K values per row): 1, 0, -1 or -2 (not mentioned).

        Raises:
          BadData: a name occurs nowhere, or in two spellings that differ by case, or no row
            states any finding.
        """
        names = self._names
        if self._column:
            named = sorted(set().union(*(values for values, _ in stated)))
            if not named:
                raise BadData(f"{self._column_flag}: no row of {self._manifest} names a finding")
            for name in names:
                if name not in named:
                    raise BadData(
                        f"{self._flag}: column {self._column} of {self._manifest} has no finding "
                        f"{name}; it has {one_of(name, named)}"
                    )
            names = names or tuple(named)
            for name in () if self._literal else names:
                _refuse_twins(
                    name, named, f"{self._column_flag}: column {self._column} of {self._manifest}"
                )
        rows = [tuple(values.get(name, others) for name in names) for values, others in stated]
        if all(value == NOT_MENTIONED for row in rows for value in row):
            raise BadData(f"{self._flag}: no row of {self._manifest} states any of them")
        return names, rows


def _value(text):
    """1, 0 or -1 in any spelling, NOT_MENTIONED if blank; None if it is none of them."""
    if not text:
        return NOT_MENTIONED
    try:
        value = float(text)
    except ValueError:
        return None
    return int(value) if value in (1, 0, -1) else None


def _refuse_twins(name, names, owner):
    """Raises BadData if `names` has another spelling of `name`; see `ids.alike`."""
    twins = [other for other in names if alike(other) == alike(name)]
    if len(twins) > 1:
        same = twins[0].casefold() == twins[1].casefold()
        what = "case" if same else "case, blanks or the form of a number"
        raise BadData(
            f"{owner} has both {twins[0]} and {twins[1]}, which differ only by {what}"
            "; --ids=literal takes both"
        )
