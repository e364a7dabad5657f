"""Settings of a run: what to do, where, on which devices, and how often it saves and reports."""

import dataclasses
import functools

from micle_tf.config.modes import JUDGE, MODEL, MODES, STUDY, TRAIN
from micle_tf.presets import PRESETS
from micle_tf.settings import Tag, parse_every, parse_range, setting

ONEDNN = "TF_ENABLE_ONEDNN_OPTS"  # in the environment, when TensorFlow is loaded

_run = functools.partial(setting, group="run")
_machine = functools.partial(setting, group="machine")
_tpu = functools.partial(_machine, volatile=True, only=TRAIN, tags=Tag.TPU)


@dataclasses.dataclass(frozen=True)
class Command:
    """What to do."""

    mode: str = setting(
        "pretrain", "What to do.", group="run", choices=MODES, common=True, tags=Tag.COMMAND
    )


@dataclasses.dataclass(frozen=True)
class Run:
    """Where a run is, what it starts from, and the seed of all that is drawn."""

    model_dir: str = _run(
        "", "Run directory; empty: a name made from mode, data and method.",
        only=(*MODEL, "evaluate", "export", *STUDY), common=True, path=True,
        tags=Tag.COMMAND | Tag.RUN_PLACE,
    )  # fmt: skip
    study: str = _run(
        "quick", "A study: a file, or one of flags/studies by its name (demo, quick).", only=STUDY,
        common=True, path=True, tags=Tag.COMMAND,
    )  # fmt: skip
    checkpoint: str = _run(
        "", "Run directory to take the weights from, and what it was trained on; or weights of "
        "others, see docs/published_weights.md.",
        only=tuple(mode for mode in MODES if mode not in STUDY), common=True, path=True,
        tags=Tag.START | Tag.RUN_PLACE,
    )  # fmt: skip
    preset: str = _run(
        "auto",
        "Settings where no recipe has any. laptop: a small ResNet, a quarter of an hour on two "
        "cores; gpu: ResNet-50 at 224 px, a batch by the memory; paper: the defaults below; auto: "
        "gpu or laptop, by what is here. Typed, it stands in place of the dataset's own recipe.",
        choices=("auto", *PRESETS),
        volatile=True,  # its values are compared instead
        only=MODEL,
        common=True,
    )
    seed: int = _run(
        0, "Seed of weights, order and augmentation, and of which cases are a --label_fraction.",
        low=0, high=2**31 - 1, only=("pretrain", *JUDGE), common=True,
    )  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Devices:
    """What a run computes on, and in which arithmetic."""

    strategy: str = _machine(
        "auto",
        "Devices: auto takes the TPU of --tpu_name, the workers of TF_CONFIG, all GPUs, or one.",
        choices=("auto", "one_device", "mirrored", "multi_worker", "tpu"),
        volatile=True,  # the number of replicas is compared instead
        only=TRAIN,
    )
    tpu_name: str = _tpu("", "Cloud TPU to train on: a name, grpc://host:port, or local.")
    tpu_zone: str = _tpu("", "Zone of the TPU; empty: the zone of this machine.")
    gcp_project: str = _tpu("", "Project of the TPU; empty: the project of this machine.")
    virtual_devices: int = _machine(
        1, "Split the CPU into this many devices.", low=1, high=64, only=TRAIN
    )
    precision: str = _machine(
        "float32", "Arithmetic of the encoder and head.",
        choices=("float32", "mixed_bfloat16", "float64"), only=MODEL, tags=Tag.INHERITED,
    )  # fmt: skip
    global_bn: bool = _machine(
        True, "Take the statistics of batch norm over all devices; false is SimCLR's word for "
        "one device, or for an encoder that is frozen.", volatile=True, only=TRAIN,
    )  # fmt: skip
    cpu_kernels: str = _machine(
        "default", "Kernels on a CPU: those that TensorFlow takes by itself, or oneDNN's, twice "
        "as fast where it does not take them (no AVX-512); they round differently.",
        choices=("default", "onednn"), only=MODEL,
    )  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Pace:
    """How often a run saves and reports, and how a step is taken."""

    checkpoint_every: str = _machine(
        "5m", "How often to save: 10m, 500s or 1000steps.", volatile=True, only=TRAIN
    )
    keep_checkpoints: int = _machine(
        2, "How many checkpoints to keep.", low=1, high=10_000, volatile=True, only=TRAIN
    )
    log_every: int = _machine(
        10, "Steps between two entries of the log.", low=1, high=10**9, volatile=True, only=TRAIN
    )
    steps_per_loop: int = _machine(
        1, "Steps that the devices take in a row before they report; TPUs: 100 or more.", low=1,
        high=10**6, volatile=True, only=TRAIN,
    )  # fmt: skip
    microbatch_size: int = _machine(
        0, "Rows of a batch that go through the model at once, per device; 0: all. The gradient "
        "stays that of the whole batch; batch norm sees the microbatch.", low=0, high=10**6,
        only=TRAIN,
    )  # fmt: skip
    jit_compile: bool = _machine(
        False, "Compile the training step with XLA, for one GPU: with bfloat16 a ResNet-50 took a "
        "third of the time a step, after a minute for the first; CPUs get slower.", only=TRAIN,
    )  # fmt: skip
    profile: str = _machine(
        "", "Write a TensorFlow profile of these steps, both included: 20:25.", volatile=True,
        only=TRAIN, tags=Tag.COMMAND,
    )  # fmt: skip
    tensorflow_log: bool = _machine(False, "Show TensorFlow's own messages.", volatile=True)

    def checkpoint_interval(self) -> tuple[int | None, int | None]:
        """`checkpoint_every` as (seconds, steps), one of which is None."""
        wanted = "give a time or a number of steps, as 10m, 500s or 1000steps"
        units = ("steps", "m", "s")
        number, unit = parse_every("checkpoint_every", self.checkpoint_every, units, wanted)
        return (None, number) if unit == "steps" else (number * (60 if unit == "m" else 1), None)

    def profiled_steps(self) -> tuple[int, int] | None:
        """`profile` as (first, last); None where it is empty."""
        return parse_range("profile", self.profile) if self.profile else None
