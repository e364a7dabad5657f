"""The label lists of PadChest's reports, and what they say about each finding.

PadChest names 174 findings and 19 diagnoses, most of them in few images, and hangs them into a
tree. Stored are those below; names of the tree's finer branches count for them.
"""

import ast
import collections

from data_builders.chexpert_labels import COMPETITION
from data_builders.schema import NOT_MENTIONED, BadData

# The set has no columns whose order could be kept: by the alphabet.
FINDINGS = (
    "air trapping", "alveolar pattern", "aortic atheromatosis", "aortic elongation", "atelectasis",
    "bronchiectasis", "calcified granuloma", "cardiomegaly", "consolidation", "copd signs",
    "costophrenic angle blunting", "emphysema", "flattened diaphragm", "fracture", "granuloma",
    "hemidiaphragm elevation", "hiatal hernia", "hilar enlargement", "infiltrates",
    "interstitial pattern", "kyphosis", "mass", "mediastinal enlargement", "nodule", "pacemaker",
    "pleural effusion", "pleural thickening", "pneumonia", "pneumothorax", "pulmonary edema",
    "pulmonary fibrosis", "pulmonary mass", "scoliosis", "tuberculosis",
    "vertebral degenerative changes",
)  # fmt: skip

# {name of the same finding in CheXpert or ChestX-ray14: ours}
SYNONYMS = {
    "Atelectasis": "atelectasis",
    "Cardiomegaly": "cardiomegaly",
    "Consolidation": "consolidation",
    "Edema": "pulmonary edema",
    "Pleural Effusion": "pleural effusion",
    "Effusion": "pleural effusion",
    "Pneumonia": "pneumonia",
    "Pneumothorax": "pneumothorax",
    "Fracture": "fracture",
    "Pleural_Thickening": "pleural thickening",
    "Emphysema": "emphysema",
    "Fibrosis": "pulmonary fibrosis",
    "Infiltration": "infiltrates",
    "Nodule": "nodule",
}
# The five of CheXpert's competition, in its order.
DEFAULT_FINDINGS = tuple(SYNONYMS[name] for name in COMPETITION)
# What `group_rows` is told of them.
LABELS = dict(finding_names=FINDINGS, default_findings=DEFAULT_FINDINGS, synonyms=SYNONYMS)

# What lies below a stored finding in the tree: whoever names one of these names it too.
_KINDS = {
    "aortic elongation": (
        "ascendent aortic elongation", "descendent aortic elongation", "supra aortic elongation",
    ),
    "atelectasis": (
        "atelectasis basal", "laminar atelectasis", "lobar atelectasis", "round atelectasis",
        "segmental atelectasis", "total atelectasis",
    ),
    "consolidation": ("air bronchogram",),
    "fracture": (
        "callus rib fracture", "clavicle fracture", "humeral fracture", "rib fracture",
        "vertebral fracture",
    ),
    "granuloma": ("calcified granuloma",),
    "hilar enlargement": (
        "adenopathy", "pulmonary artery enlargement", "vascular hilar enlargement",
    ),
    "infiltrates": (
        "air bronchogram", "alveolar pattern", "consolidation", "ground glass pattern",
        "interstitial pattern", "miliary opacities", "reticular interstitial pattern",
        "reticulonodular interstitial pattern",
    ),
    "interstitial pattern": (
        "reticular interstitial pattern", "reticulonodular interstitial pattern",
    ),
    "mass": (
        "breast mass",
        "mediastinal mass",
        "pleural mass",
        "pulmonary mass",
        "soft tissue mass",
    ),
    "mediastinal enlargement": ("superior mediastinal enlargement",),
    "nodule": ("multiple nodules",),
    "pleural effusion": (
        "empyema", "hemothorax", "hydropneumothorax", "loculated fissural effusion",
        "loculated pleural effusion",
    ),
    "pleural thickening": ("apical pleural thickening", "calcified pleural thickening"),
    "pneumonia": ("atypical pneumonia",),
    "pneumothorax": ("hydropneumothorax",),
}  # fmt: skip

# About the picture, or about an earlier one that is not named: nothing is known from them.
_SAY_NOTHING = {"", "exclude", "suboptimal study", "unchanged"}
_NO_FINDING = "normal"


class LabelReader:
    """Reads cells of the column Labels.

    Attributes:
      others: {name: images} of what is named and not stored.
    """

    def __init__(self):
        self.others = collections.Counter()
        self._seen = {}  # cells repeat: each is parsed once, and its values are kept once
        self._places = collections.defaultdict(set)
        for place, finding in enumerate(FINDINGS):
            for name in (finding, *_KINDS.get(finding, ())):
                self._places[name].add(place)

    def read(self, where, cell):
        """A value per finding: 1 if it is named, else 0; -2 everywhere if nothing is.

        Args:
          where: file and row, for messages.
          cell: a Python list as text, "['pleural effusion', 'unchanged']", or blank.

        Raises:
          BadData: the cell is something else.
        """
        if cell not in self._seen:
            self._seen[cell] = self._parse(where, cell)
        values, others = self._seen[cell]
        self.others.update(others)
        return values

    def note(self):
        """What is named and not stored, in one line; "" if nothing is."""
        if not self.others:
            return ""
        shown = ", ".join(f"{name} ({count:,})" for name, count in self.others.most_common(3))
        return f"labels in no finding that is stored: {len(self.others)}; most images: {shown}"

    def _parse(self, where, cell):
        names = {" ".join(name.split()).lower() for name in _listed(where, cell)} - _SAY_NOTHING
        if not names:
            return (NOT_MENTIONED,) * len(FINDINGS), ()
        named = set().union(*(self._places.get(name, ()) for name in names))
        others = sorted(name for name in names - {_NO_FINDING} if name not in self._places)
        return tuple(int(place in named) for place in range(len(FINDINGS))), others


def _listed(where, cell):
    """The texts of a list that is written as Python writes it."""
    if cell.lower() in ("", "nan"):
        return []
    try:
        names = ast.literal_eval(cell)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        names = None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        shown = cell if len(cell) <= 60 else f"{cell[:57]}..."
        raise BadData(
            f"{where}: column Labels holds {shown}, expected a list as "
            "['cardiomegaly', 'pleural effusion'] or blank"
        )
    return names
