"""What a table program writes where there is nothing: "nan", "<NA>", "None".

| column                     | nan, NaN, <NA>, #N/A, NaT, ... | None, NA, N/A, null, ... |
|----------------------------|--------------------------------|--------------------------|
| patient_id, study_id,      | blank                          | blank                    |
| split, view, columns of    |                                |                          |
| findings                   |                                |                          |
| label, findings_column     | blank                          | refused: may be a class  |
| case_id                    | refused                        | refused                  |

The list is pandas' own (`pandas.read_csv`, na_values), and NaT. --missing=TEXT,TEXT takes its
place, and then every column but case_id has a blank for each of them.
"""

import collections

from data_builders.ids import as_text
from data_builders.schema import BadData

USUAL = "usual"  # the value of --missing that stands for the list below
# Written by programs alone.
_NEVER_WORDS = (
    "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>",
    "NaN", "nan", "NaT",
)  # fmt: skip
# A class may be called so, and a country is.
_MAY_BE_WORDS = ("N/A", "NA", "NULL", "None", "n/a", "null")
LABELS = ("label", "findings_column")


class Missing:
    """Finds what stands for nothing in the cells of a table, and counts it.

    Args:
      text: as of --missing: `USUAL`, or texts separated by commas; "" for none.
    """

    def __init__(self, text=USUAL):
        usual = text == USUAL
        words = (*_NEVER_WORDS, *_MAY_BE_WORDS) if usual else (w.strip() for w in text.split(","))
        self._words = frozenset(words) - {""}
        self._doubtful = frozenset(_MAY_BE_WORDS if usual else ())
        self._counts = collections.Counter()

    def may_be_in(self, cells):
        """Whether a row wants a closer look: quick, for there are many."""
        return not self._words.isdisjoint(cells) or not all(map(str.isascii, cells))

    def read(self, where, column, cell, kind=""):
        """The text of a cell, "" where there is nothing.

        Args:
          where: its row, for messages.
          column: its name in the table.
          cell: its text without blanks around it.
          kind: what of ours it is: "label", "findings_column", "case_id", or anything else.

        Raises:
          BadData: a case_id that is such a text, or a label that may be one.
        """
        stated, cell = cell, cell if cell.isascii() else as_text(cell)
        if cell not in self._words:
            return stated
        if kind == "case_id":
            raise BadData(
                f"{where}: column {column} holds {cell}, which stands for nothing; give the case "
                "an id, or say --missing= if it is called so"
            )
        if kind in LABELS and cell in self._doubtful:
            raise BadData(
                f"{where}: column {column} holds {cell}, which may be a class or nothing: say "
                f"--missing= if it is a class, or --missing={cell},nan if nothing is known there"
            )
        self._counts[cell, column] += 1
        return ""

    def note(self):
        """One line on what was taken for nothing; "" if nothing was."""
        if not self._counts:
            return ""
        texts = [
            f"{cell} in {column} ({count:,} row{'s' * (count > 1)})"
            for (cell, column), count in self._counts.items()
        ]
        return f"taken for blank: {', '.join(texts)}; --missing= takes such texts as they are"
