"""CheXpert's 14 findings, as CheXpert and MIMIC-CXR-JPG write them: a column each."""

from data_builders.schema import NOT_MENTIONED, BadData

# In the order of CheXpert's own files; those of MIMIC-CXR-JPG are sorted by name.
FINDINGS = (
    "No Finding",
    "Enlarged Cardiomediastinum",
    "Cardiomegaly",
    "Lung Opacity",
    "Lung Lesion",
    "Edema",
    "Consolidation",
    "Pneumonia",
    "Atelectasis",
    "Pneumothorax",
    "Pleural Effusion",
    "Pleural Other",
    "Fracture",
    "Support Devices",
)
# What NIH ChestX-ray14 and PadChest call the same finding, where it is another name.
SYNONYMS = {"Effusion": "Pleural Effusion", "pulmonary edema": "Edema"}
# Those of CheXpert's competition, on which the set is judged by nearly everybody.
COMPETITION = ("Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Pleural Effusion")
NOTHING_KNOWN = (NOT_MENTIONED,) * len(FINDINGS)
# What `group_rows` is told of them.
LABELS = dict(finding_names=FINDINGS, default_findings=COMPETITION, synonyms=SYNONYMS)

_VALUES = {"": NOT_MENTIONED, "1.0": 1, "1": 1, "0.0": 0, "0": 0, "-1.0": -1, "-1": -1}


class LabelColumns:
    """The columns of `FINDINGS` in a `tables.Table`, in whatever order the file has them.

    Raises:
      BadData: one of them is not there.
    """

    def __init__(self, table):
        self._places = [table.column(name) for name in FINDINGS]
        self._known = {}  # a few thousand in the largest sets

    def read(self, where, fields):
        """The values of a row, in the order of `FINDINGS`: 1, 0, -1 or -2 (not mentioned).

        Equal ones are one tuple in memory. Raises BadData on any other value.
        """
        values = tuple([_VALUES.get(fields[place]) for place in self._places])
        if None in values:
            k = values.index(None)
            raise BadData(
                f"{where}: column {FINDINGS[k]} holds {fields[self._places[k]]}, "
                "expected 1, 0, -1 or blank"
            )
        return self._known.setdefault(values, values)
