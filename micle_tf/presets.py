"""Settings that suit a machine, where no recipe says what suits the data: --preset.

A preset is a set of flags, and nothing else: a run's config.json holds the values.
"""

import dataclasses
import os
import subprocess

PRESETS = ("laptop", "gpu", "paper")
# What a system has where it has a GPU: NVIDIA's, AMD's, that of Windows' subsystem for Linux.
_DEVICES = ("/dev/nvidia0", "/dev/kfd", "/dev/dxg")
MODES = ("pretrain", "linear_eval", "finetune")

# Two quiet cores, 500 to 20,000 photos, a quarter of an hour; tried on real photos, see results.md.
_SMALL = {"image_size": 64, "resnet_depth": 10, "width_multiplier": 0.5, "cpu_kernels": "onednn"}
_LAPTOP = {
    "pretrain": {
        **_SMALL, "train_batch_size": 96, "train_steps": 1500, "optimizer": "adam",
        "learning_rate": 0.002, "learning_rate_scaling": "none", "weight_decay": 1e-4,
        "temperature": 0.2, "crop_area_min": 0.2, "color_jitter_strength": 0.5, "use_blur": False,
    },
    "linear_eval": _SMALL,
    "finetune": {
        **_SMALL, "train_batch_size": 64, "train_steps": 800, "validate_every": "100steps",
        "learning_rate": 0.1, "use_blur": False,
    },
}  # fmt: skip
# The paper's ResNet-50 at 224 px. SimCLR's rate for batches below its 4,096 (README of
# google-research/simclr), and steps for sets whose hundred epochs would be a few hundred steps.
_RESNET_50 = {"image_size": 224, "resnet_depth": 50, "width_multiplier": 1.0}
_GPU = {
    "pretrain": {
        **_RESNET_50, "train_steps": 20_000, "learning_rate": 0.075,
        "learning_rate_scaling": "sqrt", "weight_decay": 1e-4,
    },
    "linear_eval": _RESNET_50,
    "finetune": _RESNET_50,
}  # fmt: skip


def of_run(preset):
    """The preset of a run: "paper" where its config.json has none, or an undecided one."""
    return "paper" if preset == "auto" else preset


@dataclasses.dataclass(frozen=True)
class Accelerators:
    """The GPUs of this machine.

    Attributes:
      count: how many TensorFlow can use; 0 for none.
      gib: memory of the smallest, in GiB; 0 if that is not known.
    """

    count: int
    gib: float


def flags(preset, mode, here):
    """The flags that a preset stands for in a mode.

    Args:
      preset: one of `PRESETS`.
      mode: a mode; one that neither trains nor makes an encoder has none.
      here: a function of nothing that gives `Accelerators`; asked by "gpu" alone.

    Returns:
      {name of a field of `Config`: value}; {} for "paper", which is the defaults.
    """
    if preset == "laptop":
        return dict(_LAPTOP.get(mode, {}))
    if preset != "gpu":
        return {}
    batch = {"pretrain": pairs_that_fit, "finetune": images_that_fit}.get(mode)
    if not batch:
        return dict(_GPU.get(mode, {}))
    accelerators = here()
    size = batch(accelerators.gib) * max(1, accelerators.count)
    return {**_GPU[mode], "train_batch_size": size}


def pairs_that_fit(gib):
    """Positive pairs of a ResNet-50 at 224 px in float32 on a device of so many GiB.

    Four per GiB, in steps of 16, from 16 to 256: 8 GiB 32, 16 GiB 64, 24 GiB 96, 40 GiB 160, 80
    GiB 256. A pair takes some 0.19 GB on a CPU, and a share of the memory has to stay free. Of
    unknown memory: 16.
    """
    return min(256, max(16, int(4 * gib) // 16 * 16))


def images_that_fit(gib):
    """Labelled images of fine-tuning, likewise: as many as `pairs_that_fit`, at most 64."""
    return min(64, pairs_that_fit(gib))


def of_machine(devices, here):
    """What --preset=auto takes: "gpu" where there is one, "paper" on a TPU, else "laptop".

    Args:
      devices: `Devices`; reads `strategy` and `tpu_name`.
      here: as for `flags`.
    """
    if devices.strategy == "tpu" or devices.tpu_name:
        return "paper"
    return "gpu" if here().count else "laptop"


def accelerators():
    """The `Accelerators` of this machine.

    NVIDIA's own program and the devices of the system are looked at first, so that TensorFlow is
    not loaded where there are none: its kernels for CPUs are chosen before that (see
    `cpu_kernels`). TensorFlow's word counts, as it may be a build without CUDA.
    """
    memory = _memory_of_gpus()
    if not memory and not any(map(os.path.exists, _DEVICES)):
        return Accelerators(0, 0.0)
    import tensorflow as tf

    count = len(tf.config.list_physical_devices("GPU"))
    return Accelerators(count, min(memory, default=0.0) / 1024 if count else 0.0)


def used_by(devices, here):
    """Of the `Accelerators` of this machine, those that a run takes, on all its machines.

    Args:
      devices: `Devices`; reads `strategy`.
      here: `Accelerators` of this machine.
    """
    if devices.strategy == "one_device":
        return dataclasses.replace(here, count=min(here.count, 1))
    several = devices.strategy == "multi_worker" or os.environ.get("TF_CONFIG")
    if here.count and several and devices.strategy != "mirrored":
        from micle_tf import cluster

        return dataclasses.replace(here, count=here.count * cluster.Cluster.of(devices).size)
    return here


def _memory_of_gpus():
    """MiB of each GPU that this process may use, 0 where not known; [] where there is none."""
    command = ["nvidia-smi", "--query-gpu=memory.total", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    lines = [line.strip() for line in done.stdout.splitlines() if line.strip()]
    memory = [float(line) if line.isdecimal() else 0.0 for line in lines]
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return memory
    numbers = [part.strip() for part in visible.split(",") if part.strip()]
    if numbers == ["-1"]:
        return []
    if all(number.isdecimal() for number in numbers):
        return [memory[int(number)] for number in numbers if int(number) < len(memory)]
    return memory  # named by UUID: all of them, of which the smallest counts
