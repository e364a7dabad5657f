"""Every setting of a run: one field, one flag, one help line.

`cli.py` makes the flags from these fields, a run directory keeps them as
`config.json`, and a later run on the same directory is held to them.
"""

import dataclasses
import functools
import json
import os
import re
from typing import Any, Self

from micle_tf.data_config import DataConfig
from micle_tf.errors import BadInput
from micle_tf.presets import PRESETS
from micle_tf.settings import GROUPS, Needs, Tag, check_value, parse_every, parse_range, setting

ONEDNN = "TF_ENABLE_ONEDNN_OPTS"  # in the environment, when TensorFlow is loaded
RESNET_DEPTHS = (10, 14, 18, 34, 50, 101, 152, 200)

_run, _data, _model, _training, _evaluation, _export, _machine = (
    functools.partial(setting, group=group) for group in GROUPS
)
_PRETRAIN, _FINETUNE, _EXPORT = ("pretrain",), ("finetune",), ("export",)
_TRAIN = ("pretrain", "finetune")
_JUDGE = ("linear_eval", "finetune", "evaluate")
_LABELS = ("linear_eval", "finetune")
_MODEL = ("pretrain", "linear_eval", "finetune")
_KNN = Needs("without --knn_every", lambda config: config.mode != "pretrain" or config.knn_every)
_HEAD = Needs(
    "without --ft_proj_selector",
    lambda config: config.mode != "finetune" or config.ft_proj_selector,
)
_encoder = functools.partial(_model, only=_MODEL, tags=Tag.ENCODER)
_projection = functools.partial(_model, only=_TRAIN, needs=_HEAD, tags=Tag.PROJECTION)
_tpu = functools.partial(_machine, volatile=True, only=_TRAIN, tags=Tag.TPU)


@dataclasses.dataclass(frozen=True)
class Config(DataConfig):
    """All settings. Names are SimCLR's where the meaning is the same."""

    # Splits and images.
    train_split: str = _data("train", "Split to train on.", only=_MODEL, common=True)
    eval_split: str = _data(
        "test",
        "Split to evaluate on.",
        volatile=_PRETRAIN,  # which only looks on
        only=("pretrain", *_JUDGE),
        by_mode={"pretrain": "validation"},
        needs=_KNN,
        common=True,
    )
    image_size: int = _model(
        224,
        "Side of the model's input, in pixels.",
        low=8,
        high=2048,
        only=(*_MODEL, "evaluate"),
        common=True,
        tags=Tag.INPUT,
    )

    # Run.
    model_dir: str = _run(
        "",
        "Run directory; empty: a name made from mode, data and method.",
        only=(*_MODEL, "evaluate", "export"),
        common=True,
        path=True,
        tags=Tag.COMMAND | Tag.RUN_PLACE,
    )
    checkpoint: str = _run(
        "",
        "Run directory to take the weights from, and what it was trained on.",
        common=True,
        path=True,
        tags=Tag.START | Tag.RUN_PLACE,
    )
    preset: str = _run(
        "auto",
        "Settings where no recipe has any. laptop: a small ResNet, a quarter of an hour on two "
        "cores; gpu: ResNet-50 at 224 px, a batch by the memory; paper: the defaults below; auto: "
        "gpu or laptop, by what is here. Typed, it stands in place of the dataset's own recipe.",
        choices=("auto", *PRESETS),
        volatile=True,  # its values are compared instead
        only=_MODEL,
        common=True,
    )
    seed: int = _run(
        0,
        "Seed of weights, order and augmentation.",
        low=0,
        high=2**31 - 1,
        only=("pretrain", *_JUDGE),
        common=True,
    )
    strategy: str = _machine(
        "auto",
        "Devices: auto takes the TPU of --tpu_name, the workers of TF_CONFIG, all GPUs, or one.",
        choices=("auto", "one_device", "mirrored", "multi_worker", "tpu"),
        volatile=True,  # the number of replicas is compared instead
        only=_TRAIN,
    )
    tpu_name: str = _tpu("", "Cloud TPU to train on: a name, grpc://host:port, or local.")
    tpu_zone: str = _tpu("", "Zone of the TPU; empty: the zone of this machine.")
    gcp_project: str = _tpu("", "Project of the TPU; empty: the project of this machine.")
    virtual_devices: int = _machine(
        1, "Split the CPU into this many devices.", low=1, high=64, only=_TRAIN
    )
    precision: str = _machine(
        "float32",
        "Arithmetic of the encoder and head.",
        choices=("float32", "mixed_bfloat16", "float64"),
        only=_MODEL,
        tags=Tag.INHERITED,
    )
    cpu_kernels: str = _machine(
        "default",
        "Kernels on a CPU: those that TensorFlow takes by itself, or oneDNN's, twice as fast where "
        "it does not take them (no AVX-512); they round differently.",
        choices=("default", "onednn"),
        only=_MODEL,
    )
    checkpoint_every: str = _machine(
        "5m", "How often to save: 10m, 500s or 1000steps.", volatile=True, only=_TRAIN
    )
    keep_checkpoints: int = _machine(
        2, "How many checkpoints to keep.", low=1, high=10_000, volatile=True, only=_TRAIN
    )
    log_every: int = _machine(
        10, "Steps between two entries of the log.", low=1, high=10**9, volatile=True, only=_TRAIN
    )
    steps_per_loop: int = _machine(
        1,
        "Steps that the devices take in a row before they report; TPUs: 100 or more.",
        low=1,
        high=10**6,
        volatile=True,
        only=_TRAIN,
    )
    microbatch_size: int = _machine(
        0,
        "Rows of a batch that go through the model at once, per device; 0: all. The gradient stays "
        "that of the whole batch; batch norm sees the microbatch.",
        low=0,
        high=10**6,
        only=_TRAIN,
    )
    profile: str = _machine(
        "",
        "Write a TensorFlow profile of these steps, both included: 20:25.",
        volatile=True,
        only=_TRAIN,
        tags=Tag.COMMAND,
    )
    tensorflow_log: bool = _machine(False, "Show TensorFlow's own messages.", volatile=True)

    # Model.
    resnet_depth: int = _encoder(50, "Depth of the ResNet.", choices=RESNET_DEPTHS, common=True)
    width_multiplier: float = _encoder(
        1.0, "Width of the ResNet; fractions too.", low=1 / 64, high=16, common=True
    )
    sk_ratio: float = _encoder(
        0.0,
        "Selective-kernel ratio of depths 14 and 50 to 200, 0 for none; SimCLRv2: 0.0625.",
        low=0,
        high=1,
    )
    se_ratio: float = _encoder(0.0, "Squeeze-and-excitation ratio, 0 for none.", low=0, high=1)
    num_proj_layers: int = _projection(
        2, "Layers of the projection head: 2 as in the paper, 3 as SimCLRv2.", low=1, high=8
    )
    proj_out_dim: int = _projection(
        128, "Width of the projection head's output.", low=1, high=65_536
    )

    # Pretraining.
    method: str = _training(
        "micle",
        "Positive pairs: two views of one image, or of two images of a case.",
        choices=("simclr", "micle"),
        only=_PRETRAIN,
        common=True,
    )
    train_batch_size: int = _training(
        128,
        "Positive pairs per step, or labelled images, over all devices.",
        low=2,
        high=10**7,
        only=_TRAIN,
        by_mode={"finetune": 64},
        common=True,
    )
    train_epochs: int = _training(
        100,
        "Passes over the images (simclr), cases (micle) or labelled images (finetune).",
        low=1,
        high=10**7,
        only=_TRAIN,
        by_mode={"finetune": 50},
        needs=Needs("beside --train_steps", lambda config: not config.train_steps),
        common=True,
    )
    train_steps: int = _training(
        0, "Steps; above 0 it beats train_epochs.", low=0, high=10**12, only=_TRAIN, common=True
    )
    optimizer: str = _training(
        "lars",
        "Optimizer; momentum is SGD, with Nesterov's when fine-tuning.",
        choices=("lars", "momentum", "adam"),
        only=_TRAIN,
        by_mode={"finetune": "momentum"},
    )
    learning_rate: float = _training(
        0.3,
        "Base learning rate; see learning_rate_scaling.",
        low=0,
        high=10_000,
        only=_TRAIN,
        by_mode={"finetune": 0.05},
        common=True,
    )
    learning_rate_scaling: str = _training(
        "linear",
        "What the base rate is multiplied by: batch/256, sqrt(batch), or nothing.",
        choices=("linear", "sqrt", "none"),
        only=_TRAIN,
    )
    warmup_epochs: float = _training(
        10.0,
        "Epochs of linear warm-up; cut to a tenth of the run.",
        low=0,
        high=10**7,
        only=_TRAIN,
        by_mode={"finetune": 0.0},
    )
    momentum: float = _training(
        0.9,
        "Momentum of LARS and SGD.",
        low=0,
        high=1,
        only=_TRAIN,
        needs=Needs("with --optimizer=adam", lambda config: config.optimizer != "adam"),
    )
    weight_decay: float = _training(
        1e-6,
        "Weight decay; SimCLR on ImageNet and CIFAR: 1e-4.",
        low=0,
        high=10_000,
        only=_TRAIN,
        by_mode={"finetune": 1e-4},
    )
    temperature: float = _training(
        0.1, "Temperature of the contrastive loss.", low=1e-3, high=100, only=_PRETRAIN
    )
    mask_negatives: str = _training(
        "none",
        "Leave other entries of the same case or patient out of the negatives.",
        choices=("none", "case", "patient"),
        only=_PRETRAIN,
    )

    knn_every: str = _evaluation(
        "",
        "How often to judge by nearest neighbours on --eval_split, 5epochs or 500steps; empty: "
        "never.",
        volatile=True,
        only=_PRETRAIN,
    )

    # Augmentation.
    crop_area_min: float = _training(
        0.08,
        "Smallest part of the image that a crop may keep.",
        low=0.01,
        high=1,
        only=_TRAIN,
        by_mode={"finetune": 0.25},
    )
    color_jitter_strength: float = _training(
        1.0,
        "Strength of the colour jitter; 0.5 for X-rays and small images.",
        low=0,
        high=1.25,
        only=_TRAIN,
        by_mode={"finetune": 0.5},
    )
    use_blur: bool = _training(
        True, "Blur half of the views; the paper drops it for X-rays.", only=_TRAIN
    )
    rotation_degrees: float = _training(
        0.0,
        "Rotate by up to this angle either way, in degrees; X-rays: 45.",
        low=0,
        high=180,
        only=_TRAIN,
        by_mode={"finetune": 30.0},
    )
    random_flip: bool = _training(True, "Mirror half of the views left to right.", only=_TRAIN)
    vertical_flip: bool = _training(
        False, "Turn half of the views upside down; for skin, not for X-rays.", only=_TRAIN
    )

    # Labels.
    label_fraction: float = _data(
        1.0,
        "Share of the labelled training cases to learn from; 0.1 is inside 0.3.",
        low=1e-4,
        high=1,
        only=_LABELS,
        common=True,
    )
    top_classes: int = _data(
        0,
        "Keep this many classes, the most frequent ones; the rest become Other. 0: all.",
        low=0,
        high=10**6,
        only=_LABELS,
    )

    # Fine-tuning.
    class_weights: str = _training(
        "none",
        "Weight of a class in the loss; balanced: rare and frequent ones count the same.",
        choices=("none", "balanced"),
        only=_FINETUNE,
    )
    case_images: str = _training(
        "all",
        "Images of a labelled case in an epoch: all, or one drawn anew each time.",
        choices=("all", "one"),
        only=_FINETUNE,
    )
    ft_proj_selector: int = _model(
        0,
        "Layers of the projection head to keep; SimCLRv2 keeps 1 where labels are few.",
        low=0,
        high=8,
        only=_FINETUNE,
        tags=Tag.START,
    )
    fine_tune_after_block: int = _model(
        -1,
        "Freeze the stem (0) and the block groups up to this one; -1: none, 4: the whole encoder.",
        low=-1,
        high=4,
        only=_FINETUNE,
        tags=Tag.START,
    )
    best_metric: str = _evaluation(
        "",
        "What the best checkpoint is chosen by, as in result.json, or loss; empty: macro AUC.",
        only=_FINETUNE,
    )
    validate_every: str = _evaluation(
        "1epochs", "How often to validate: 2epochs or 500steps.", only=_FINETUNE
    )
    patience: int = _evaluation(
        0,
        "Stop after so many validations that were no better than the best; 0: never.",
        low=0,
        high=10**6,
        only=_FINETUNE,
    )

    # Evaluation.
    eval_batch_size: int = _evaluation(
        256,
        "Images per step when nothing is trained.",
        low=1,
        high=10**6,
        volatile=True,
        only=("pretrain", *_JUDGE),
        needs=_KNN,
    )
    allow_seen: bool = _evaluation(
        False,
        "Judge on images that the model learned from, labels and all, in a run before or in other "
        "data.",
        volatile=True,
        only=_JUDGE,
    )
    bootstrap_samples: int = _evaluation(
        1000, "Resamples of patients behind each 95 % interval.", low=10, high=10**7, only=_JUDGE
    )

    # Export.
    export_name: str = _export("model", "Name of the exported model.", only=_EXPORT, common=True)
    export_version: int = _export(
        1, "Version of the exported model, a folder of its own.", low=1, high=10**15, only=_EXPORT
    )

    def __post_init__(self) -> None:
        """Raises BadInput, naming the flag, for a value that no run could use."""
        for field in dataclasses.fields(self):
            check_value(field, getattr(self, field.name))
        self.checkpoint_interval()
        self.steps_between("validate_every", 1)
        if self.knn_every:
            self.steps_between("knn_every", 1)
        self.profiled_steps()
        if not re.fullmatch(r"\w[\w.-]*", self.export_name):
            raise BadInput(
                f"--export_name={self.export_name}: letters, digits, dots, dashes and underscores"
            )

    def otherwise(self, name: str) -> str:
        """Why a field does nothing: "in --mode=evaluate", "without --max_image_side"; else "".

        Only for a configuration whose dataset is known to be one.
        """
        meta = type(self).__dataclass_fields__[name].metadata
        if meta["only"] and self.mode not in meta["only"]:
            return f"in --mode={self.mode}"
        return "" if not meta["needs"] or meta["needs"].met(self) else meta["needs"].otherwise

    def checkpoint_interval(self) -> tuple[int | None, int | None]:
        """`checkpoint_every` as (seconds, steps), one of which is None."""
        wanted = "give a time or a number of steps, as 10m, 500s or 1000steps"
        units = ("steps", "m", "s")
        number, unit = parse_every("checkpoint_every", self.checkpoint_every, units, wanted)
        return (None, number) if unit == "steps" else (number * (60 if unit == "m" else 1), None)

    def steps_between(self, name: str, steps_per_epoch: int) -> int:
        """`validate_every` or `knn_every`, which say epochs or steps, in steps."""
        wanted = "give epochs or steps, as 2epochs or 500steps"
        number, unit = parse_every(name, getattr(self, name), ("epochs", "steps"), wanted)
        return number * steps_per_epoch if unit == "epochs" else number

    def profiled_steps(self) -> tuple[int, int] | None:
        """`profile` as (first, last); None where it is empty."""
        return parse_range("profile", self.profile) if self.profile else None

    @classmethod
    def of_mode(cls, mode: str, **given: Any) -> Self:
        """A config of a mode: what is given, else the mode's own defaults, else the common ones."""
        own = {
            field.name: field.metadata["by_mode"][mode]
            for field in dataclasses.fields(cls)
            if mode in field.metadata["by_mode"]
        }
        return cls(mode=mode, **own | given)

    def replace(self, **changes: Any) -> Self:
        """A copy with some fields changed."""
        return dataclasses.replace(self, **changes)

    def to_json(self) -> str:
        """JSON text with one line per field, in the order of the fields."""
        return json.dumps(dataclasses.asdict(self), indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The inverse of `to_json`; fields this version does not know are dropped."""
        known = {field.name for field in dataclasses.fields(cls)}
        return cls(**{k: v for k, v in json.loads(text).items() if k in known})

    def differences(self, other: "Config") -> list[str]:
        """Names of the fields in which a resumed run would differ in its result."""
        return [
            field.name
            for field in dataclasses.fields(self)
            if is_compared(field, self.mode)
            and field.name != "model_dir"
            and _comparable(field.name, self) != _comparable(field.name, other)
            and not self.otherwise(field.name)
        ]


def is_compared(field: dataclasses.Field, mode: str) -> bool:
    """Whether a field must be the same when a run of a mode is resumed."""
    volatile = field.metadata["volatile"]
    return mode not in volatile if isinstance(volatile, tuple) else not volatile


def _comparable(name: str, config: Config) -> Any:
    """The value of a field; of a path, the same however it is spelled."""
    value = getattr(config, name)
    return os.path.normpath(os.path.expanduser(value)) if name == "checkpoint" and value else value
