"""CSV files of datasets, read row by row: plain or gzipped, and errors that name the row."""

import collections
import csv
import difflib
import functools
import glob
import gzip
import io
import os
import re
import sys
import zlib

from data_builders.schema import BadData


class Table:
    """A CSV file with a header; iterate over it for its rows.

    UTF-8, with or without a byte order mark; comma, semicolon or tab, whichever cuts the
    header into most columns; gzipped if it ends in .gz. Rows of blanks only are passed over.

    Args:
      path: as the user wrote it, for messages.

    Raises:
      BadData: the file is missing, empty, no text, or two columns have one name. While
        iterating: a row has not as many fields as the header (blank ones at its end do not
        count), or is no valid CSV.

    Attributes:
      path: as given.
      header: tuple of the names of the columns; an unnamed one is "".
    """

    def __init__(self, path):
        self.path = path
        self._delimiter = ","
        with self._open() as file:
            first = next(self._lines(file), "")
            if not first.strip() and not any(line.strip() for line in self._lines(file)):
                raise BadData(f"{path}: the file is empty")
        try:
            cut = {mark: len(next(csv.reader([first], delimiter=mark), [])) for mark in ",;\t"}
        except csv.Error as error:
            raise BadData(f"{path} row 1: not valid CSV: {error}") from None
        self._delimiter = max(cut, key=cut.get)
        self.header = tuple(next((fields for _, fields in self._records()), ()))
        for name, count in collections.Counter(self.header).items():
            if name and count > 1:
                raise BadData(f"{path} row 1: {count} columns are named {name}")

    def __iter__(self):
        """Yields (where, fields): "cases.csv row 7", and a stripped text per column."""
        records = self._records()
        next(records, None)
        for line, fields in records:
            if any(fields):
                # A comma at the end of some lines and not of others.
                while len(fields) > len(self.header) and not fields[-1]:
                    fields.pop()
                while len(fields) < len(self.header) and not any(self.header[len(fields) :]):
                    fields.append("")
                where = f"{self.path} row {line}"
                if len(fields) != len(self.header):
                    raise BadData(
                        f"{where}: {len(fields)} fields, but the header has {len(self.header)}"
                    )
                yield where, fields

    def column(self, *names, needed=True):
        """The position of a column.

        Args:
          *names: what it may be called; upper and lower case are the same.
          needed: raise BadData if there is none of them, else return None.
        """
        header = [name.lower() for name in self.header]
        for name in names:
            if name.lower() in header:
                return header.index(name.lower())
        if needed:
            raise BadData(
                f"{self.path} row 1: no column {names[0]}; it has {self.listed(names[0])}"
            )
        return None

    def optional(self, *names):
        """A function from the fields of a row to the text in a column; "" where there is none.

        `names`: as of `column`.
        """
        place = self.column(*names, needed=False)
        return lambda fields: "" if place is None else fields[place]

    def columns_there(self, names):
        """{our name: position} of those columns of {our name: the file's} that there are."""
        places = {ours: self.column(theirs, needed=False) for ours, theirs in names.items()}
        return {name: place for name, place in places.items() if place is not None}

    def needed(self, where, fields, *places):
        """The texts at these positions of a row; raises BadData if one is blank."""
        for place in places:
            if not fields[place]:
                raise BadData(f"{where}: column {self.header[place]} is blank")
        return [fields[place] for place in places]

    def listed(self, near=""):
        """The names of the columns for a message, with a hint if one is near to `near`."""
        return one_of(near, [name for name in self.header if name])

    def _open(self):
        try:
            if self.path.endswith(".gz"):
                return io.TextIOWrapper(gzip.open(self.path), encoding="utf-8-sig", newline="")
            return open(self.path, encoding="utf-8-sig", newline="")
        except OSError as error:
            raise BadData(f"{self.path}: cannot be read: {error.strerror}") from error

    def _records(self):
        """(line on which it begins, stripped fields) of every record, the header included."""
        line = 1
        with self._open() as file:
            reader = csv.reader(self._lines(file), delimiter=self._delimiter, strict=True)
            try:
                for fields in reader:
                    yield line, [field.strip() for field in fields]
                    line = reader.line_num + 1
            except csv.Error as error:
                raise BadData(f"{self.path} row {line}: not valid CSV: {error}") from None

    def _lines(self, file):
        try:
            for number, line in enumerate(file, 1):
                if "\0" in line:
                    raise BadData(f"{self.path} row {number}: a zero byte: this is not a text file")
                yield line
        except UnicodeDecodeError:
            raise BadData(f"{self.path} row {self._undecodable()}: not UTF-8 text") from None
        except (OSError, EOFError, zlib.error) as error:
            reason = getattr(error, "strerror", None) or "damaged, cut short or not gzipped"
            raise BadData(f"{self.path}: cannot be read: {reason}") from error

    def _undecodable(self):
        """The row that is not UTF-8."""
        with gzip.open(self.path) if self.path.endswith(".gz") else open(self.path, "rb") as file:
            for number, line in enumerate(file, 1):
                try:
                    line.decode()
                except UnicodeDecodeError:
                    return number


def find_table(folder, *names, instructions=""):
    """The path of the first of these files that is in a folder, plain or gzipped.

    Args:
      folder: as the user wrote it.
      *names: file names, or patterns with "*".
      instructions: appended to the message; how to get the data.

    Raises:
      BadData: none of them is there.
    """
    path = find_table_or_none(folder, *names)
    if path is None:
        near = f"; {instructions}" if instructions else ""
        raise BadData(f"--manual_dir={folder}: no {names[0]} in it{near}")
    return path


def find_table_or_none(folder, *names):
    """Like `find_table`, but None where none of them is there."""
    there = names_in(folder)
    for name in names:
        for wanted in (name, f"{name}.gz"):
            pattern = re.escape(wanted).replace(r"\*", ".*")
            for file in there:
                if re.fullmatch(pattern, file, re.IGNORECASE):
                    return os.path.join(folder, file)
    return None


def names_in(folder):
    """What --manual_dir, or a folder in it, holds, sorted; raises BadData if it cannot be read."""
    try:
        return sorted(os.listdir(folder))
    except OSError as error:
        raise BadData(f"--manual_dir={folder}: cannot be read: {error.strerror}") from error


def stated(fields, places, unknown=()):
    """What a row states of attributes: {name: text}, the same text being one in memory.

    Args:
      fields: of the row.
      places: {name: position}.
      unknown: texts that say nothing, as a blank does.
    """
    texts = {name: fields[place].removesuffix(".0") for name, place in places.items()}
    return {n: sys.intern(text) for n, text in texts.items() if text and text not in unknown}


@functools.cache
def attributes_of(**texts):
    """{name: text} of the texts that are not blank; one dict in memory for all rows alike."""
    return {name: text for name, text in texts.items() if text}


def own_folder(folder, tables, inside=("*",)):
    """The folder of a dataset that a user may have named by the folder around it.

    Args:
      folder: as the user wrote it.
      tables: file names, one of which it holds, as for `find_table`.
      inside: where else to look, as patterns relative to `folder`; the first match counts.

    Returns:
      `folder` if it holds one of the tables, or else the first folder inside that does;
      `folder` where there is none.
    """
    patterns = (os.path.join(glob.escape(folder), pattern) for pattern in inside)
    for place in (folder, *(place for pattern in patterns for place in sorted(glob.glob(pattern)))):
        if os.path.isdir(place) and find_table_or_none(place, *tables):
            return place
    return folder


def own_table(folder, names, instructions, inside=("*",)):
    """(`own_folder`, its `Table`); raises BadData with `instructions` if there is none."""
    folder = own_folder(folder, names, inside)
    return folder, Table(find_table(folder, *names, instructions=instructions))


def counted(counts, unit=""):
    """Notes on what was counted, "cases left out, having no image: 1,234", but not on what is 0.

    Args:
      counts: {what: number}.
      unit: noun behind the number, in the singular.
    """
    return [
        f"{what}: {number:,}" + (f" {unit}{'s' * (number > 1)}" if unit else "")
        for what, number in counts.items()
        if number
    ]


def one_of(name, names):
    """The names for a message, with a hint if one of them is near."""
    near = difflib.get_close_matches(name, names, 1)
    return (", ".join(names) or "none") + (f"; did you mean {near[0]}?" if near else "")
