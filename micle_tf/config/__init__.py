"""Every setting: the groups, each with its fields in a file here, and `Config`, the flat whole."""

from micle_tf.config.config import Config, is_compared
from micle_tf.config.data import LabelPolicy, Preparation, Source, Storage
from micle_tf.config.evaluation import Export, Judging, Selection
from micle_tf.config.inputs import Inputs, Labels
from micle_tf.config.model import Encoder, FineTuning, ProjectionHead
from micle_tf.config.run import Command, Devices, Pace, Run
from micle_tf.config.training import Augmentation, Balance, Batches, Optimizer, Pretraining

__all__ = [
    "Augmentation", "Balance", "Batches", "Command", "Config", "Devices", "Encoder", "Export",
    "FineTuning", "Inputs", "Judging", "LabelPolicy", "Labels", "Optimizer", "Pace",
    "Preparation", "Pretraining", "ProjectionHead", "Run", "Selection", "Source", "Storage",
    "is_compared",
]  # fmt: skip
