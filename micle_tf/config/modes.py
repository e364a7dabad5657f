"""The modes, and which of them do what."""

from micle_tf import presets
from micle_tf.settings import Needs

MODES = ("prepare", "pretrain", "linear_eval", "finetune", "evaluate", "export", "study")
PRETRAIN, FINETUNE, EXPORT, STUDY = ("pretrain",), ("finetune",), ("export",), ("study",)
TRAIN = ("pretrain", "finetune")
JUDGE = ("linear_eval", "finetune", "evaluate")
LABELS, MODEL = ("linear_eval", "finetune"), presets.MODES
# Whether a pretraining is watched by nearest neighbours.
KNN = Needs("without --knn_every", lambda config: config.mode != "pretrain" or config.knn_every)
