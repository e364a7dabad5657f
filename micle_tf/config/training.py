"""Settings of training: batches and length, the optimizer, the loss, views, weights of labels."""

import dataclasses
import functools

from micle_tf.config.modes import FINETUNE, PRETRAIN, TRAIN
from micle_tf.settings import Needs, setting, steps_between

_training = functools.partial(setting, group="training")
_evaluation = functools.partial(setting, group="evaluation")


@dataclasses.dataclass(frozen=True)
class Batches:
    """What a step takes, and how many steps there are."""

    method: str = _training(
        "micle", "Positive pairs: two views of one image, or of two images of a case. Of chest "
        "X-ray sets simclr, if it is not typed.",
        choices=("simclr", "micle"), only=PRETRAIN, common=True,
    )  # fmt: skip
    train_batch_size: int = _training(
        128, "Positive pairs per step, or labelled images, over all devices.", low=2, high=10**7,
        only=TRAIN, by_mode={"finetune": 64}, common=True,
    )  # fmt: skip
    train_epochs: int = _training(
        100, "Passes over the images (simclr), cases (micle) or labelled images (finetune).",
        low=1, high=10**7, only=TRAIN, by_mode={"finetune": 50},
        needs=Needs("beside --train_steps", lambda config: not config.train_steps), common=True,
    )  # fmt: skip
    train_steps: int = _training(
        0, "Steps; above 0 it beats train_epochs.", low=0, high=10**12, only=TRAIN, common=True
    )


@dataclasses.dataclass(frozen=True)
class Optimizer:
    """The optimizer, its rate and its decay."""

    optimizer: str = _training(
        "lars", "Optimizer; momentum is SGD, with Nesterov's when fine-tuning.",
        choices=("lars", "momentum", "adam"), only=TRAIN, by_mode={"finetune": "momentum"},
    )  # fmt: skip
    learning_rate: float = _training(
        0.3, "Base learning rate; see learning_rate_scaling.", low=0, high=10_000, only=TRAIN,
        by_mode={"finetune": 0.05}, common=True,
    )  # fmt: skip
    learning_rate_scaling: str = _training(
        "linear", "What the base rate is multiplied by: batch/256, sqrt(batch), or nothing.",
        choices=("linear", "sqrt", "none"), only=TRAIN,
    )  # fmt: skip
    warmup_epochs: float = _training(
        10.0, "Epochs of linear warm-up; cut to a tenth of the run.", low=0, high=10**7,
        only=TRAIN, by_mode={"finetune": 0.0},
    )  # fmt: skip
    momentum: float = _training(
        0.9, "Momentum of LARS and SGD.", low=0, high=1, only=TRAIN,
        needs=Needs("with --optimizer=adam", lambda config: config.optimizer != "adam"),
    )  # fmt: skip
    weight_decay: float = _training(
        1e-6, "Weight decay; SimCLR on ImageNet and CIFAR: 1e-4.", low=0, high=10_000, only=TRAIN,
        by_mode={"finetune": 1e-4},
    )  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Pretraining:
    """The contrastive loss, and how it is watched."""

    temperature: float = _training(
        0.1, "Temperature of the contrastive loss.", low=1e-3, high=100, only=PRETRAIN
    )
    mask_negatives: str = _training(
        "none", "Leave other entries of the same case or patient out of the negatives.",
        choices=("none", "case", "patient"), only=PRETRAIN,
    )  # fmt: skip
    hidden_norm: bool = _training(
        True, "Scale embeddings to length 1 in the loss: similarities are cosines.", only=PRETRAIN
    )
    lineareval_while_pretraining: bool = _training(
        False, "Train a linear classifier on the labels beside the encoder, which it does not "
        "change, and log how well it does.", only=PRETRAIN,
    )  # fmt: skip
    distinct_probability: float = _training(
        1.0, "How often a pair is of two images of its case, where that has them; 1: always, as in "
        "the paper, 0: one image twice.", low=0, high=1, only=PRETRAIN,
        needs=Needs("with --method=simclr", lambda config: config.method == "micle"),
    )  # fmt: skip
    knn_every: str = _evaluation(
        "", "How often to judge by nearest neighbours on --eval_split, 5epochs or 500steps; "
        "empty: never.", volatile=True, only=PRETRAIN,
    )  # fmt: skip

    def steps_between_neighbours(self, steps_per_epoch: int) -> int | None:
        """`knn_every` in steps; None where it is empty."""
        if not self.knn_every:
            return None
        return steps_between("knn_every", self.knn_every, steps_per_epoch)


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """How a view is drawn from an image."""

    crop_area_min: float = _training(
        0.08, "Smallest part of the image that a crop may keep.", low=0.01, high=1, only=TRAIN,
        by_mode={"finetune": 0.25},
    )  # fmt: skip
    color_jitter_strength: float = _training(
        1.0, "Strength of the colour jitter; 0.5 for X-rays and small images.", low=0, high=1.25,
        only=TRAIN, by_mode={"finetune": 0.5},
    )  # fmt: skip
    use_blur: bool = _training(
        True, "Blur half of the views; the paper drops it for X-rays [not verified].", only=TRAIN
    )
    rotation_degrees: float = _training(
        0.0, "Rotate by up to this angle either way, in degrees; X-rays: 45.", low=0, high=180,
        only=TRAIN, by_mode={"finetune": 30.0},
    )  # fmt: skip
    random_flip: bool = _training(True, "Mirror half of the views left to right.", only=TRAIN)
    vertical_flip: bool = _training(
        False, "Turn half of the views upside down; for skin, not for X-rays.", only=TRAIN
    )


@dataclasses.dataclass(frozen=True)
class Balance:
    """What of the labels counts how much when fine-tuning."""

    class_weights: str = _training(
        "none", "Weight of a class in the loss; balanced: rare and frequent ones count the same.",
        choices=("none", "balanced"), only=FINETUNE,
    )  # fmt: skip
    case_images: str = _training(
        "all", "Images of a labelled case in an epoch: all, or one drawn anew each time.",
        choices=("all", "one"), only=FINETUNE,
    )  # fmt: skip
