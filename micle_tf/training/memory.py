"""How much memory a training takes, before it takes it, and how much there is."""

import os
import pathlib
import resource
import sys

import keras
import tensorflow as tf

from micle_tf import console
from micle_tf.presets import accelerators

_GB = 1e9
# Fitted to the largest resident size (ru_maxrss) of pretraining on a CPU, TensorFlow 2.21; see
# benchmarks/README.md. Of the outputs of the convolutions, what is kept for the gradient and what
# the gradient itself takes; of the weights, gradients, optimizer, and a checkpoint that is written.
_BASE, _OUTPUTS, _WEIGHTS, _SIMILARITIES = 0.86e9, 2.1, 7.0, 6.0
_SPARE = 0.95  # of what there is, that may be used


def of_training(models, images, replicas=1, pairs=0):
    """Bytes that a training takes at most, roughly: within a quarter, for ResNets on a CPU.

    Args:
      models: {name: built Keras model}, as they are trained, of any precision.
      images: how many go through them at once, on all devices that share the memory.
      replicas: devices that share the memory, each with weights of its own.
      pairs: positive pairs of the contrastive loss on all devices; 0 for none.

    Returns:
      A float; on a GPU without what the process takes beside it.
    """
    outputs = weights = 0
    for model in models.values():
        outputs += sum(_output_bytes(layer) for layer in _layers(model))
        weights += sum(4 * int(variable.value.shape.num_elements()) for variable in model.weights)
    base = 0 if tf.config.get_visible_devices("GPU") else _BASE
    similarities = _SIMILARITIES * 4 * (2 * pairs) ** 2
    return base + _OUTPUTS * outputs * images + _WEIGHTS * weights * replicas + similarities


def used():
    """Bytes that this process took at most so far; on GPUs, those of the fullest."""
    gpus = tf.config.get_visible_devices("GPU")
    if gpus:
        names = [f"GPU:{number}" for number in range(len(gpus))]
        return max(tf.config.experimental.get_memory_info(name)["peak"] for name in names)
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def there(root="/"):
    """Bytes that this process may have: of a GPU, all; else what is free, in its container too.

    Args:
      root: where proc and sys lie, for tests.

    Returns:
      A float; None where that is not known.
    """
    if tf.config.get_visible_devices("GPU"):
        return accelerators().gib * 2**30 or None
    root, resident = pathlib.Path(root), _resident()
    bounds = [_of_the_machine(root / "proc/meminfo", resident), _of_the_container(root, resident)]
    return min((value for value in bounds if value is not None), default=None)


def describe(estimate, most):
    """ "about 1.1 GB of 22.7 GB" """
    text = f"about {estimate / _GB:.1f} GB"
    return f"{text} of {most / _GB:.1f} GB" if most else text


def say(models, batch_size, *, microbatch_size, devices, replicas, pairs, smaller_preset):
    """Says what a training will take and, where that is not there, the flags that would do.

    Args:
      models: {name: built Keras model}.
      batch_size: rows of a step, over all replicas.
      microbatch_size: rows that go through a replica's models at once; 0: all.
      devices: `Devices`.
      replicas: of this machine.
      pairs: whether a row of the batch is a positive pair.
      smaller_preset: whether there is a preset for smaller machines.

    Returns:
      Whether it fits, as far as that is known.
    """
    if devices.strategy == "tpu" or devices.tpu_name:  # whose memory is not this machine's
        return True
    most = there()
    takes = lambda microbatch: of_batch(models, batch_size, microbatch, replicas, pairs)
    estimate = takes(microbatch_size)
    if not most or estimate <= _SPARE * most:
        console.say(f"memory: {describe(estimate, most)}")
        return True
    rows = batch_size // replicas
    smaller = [size for size in range(rows // 2, 0, -1) if rows % size == 0]
    fits = next((size for size in smaller if takes(size) <= _SPARE * most), None)
    advice = [f"--microbatch_size={fits} takes {describe(takes(fits), None)}"] if fits else []
    if smaller_preset:
        advice.append("--preset=laptop is for small machines")
    advice = "; ".join(advice) or "a smaller --image_size or --resnet_depth takes less"
    console.say(f"warning: memory: {describe(estimate, most)} that are there; {advice}")
    return False


def of_batch(models, batch_size, microbatch_size, replicas, pairs):
    """`of_training` of a batch that goes through the models in microbatches (0: whole)."""
    shared = 1 if tf.config.get_visible_devices("GPU") else replicas
    rows = (microbatch_size or batch_size // replicas) * shared
    return of_training(models, rows * (2 if pairs else 1), shared, batch_size if pairs else 0)


def _layers(model):
    for layer in model.layers:
        yield from _layers(layer) if isinstance(layer, keras.Model) else (layer,)


def _output_bytes(layer):
    if not isinstance(layer, keras.layers.Conv2D):
        return 0
    size = {"float16": 2, "bfloat16": 2, "float64": 8}.get(layer.compute_dtype, 4)
    return size * int(tf.TensorShape(layer.output.shape[1:]).num_elements())


def _resident():
    """Bytes that this process has in memory now."""
    try:
        pages = int(pathlib.Path("/proc/self/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0


def _of_the_machine(meminfo, own):
    try:
        lines = dict(line.split(":", 1) for line in meminfo.read_text().splitlines())
        return 1024.0 * int(lines["MemAvailable"].split()[0]) + own
    except (OSError, ValueError, KeyError):
        try:
            return float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
        except (OSError, ValueError):
            return None


def _of_the_container(root, own):
    """What a control group lets its processes have beyond what the others of it hold."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return None
    groups = [line.split(":", 2)[1:] for line in lines if line.count(":") >= 2]
    folders = []
    for controllers, path in groups:
        if controllers in ("", "memory"):
            place = pathlib.Path(controllers, path.lstrip("/"))
            # Limits of the groups above hold too: that of a job, above its steps.
            folders += [root / "sys/fs/cgroup" / above for above in (place, *place.parents)]
    # In a container the path is often that of the host, and the folder itself is the group.
    folders += [root / "sys/fs/cgroup", root / "sys/fs/cgroup/memory"]
    limits = [limit for folder in folders for limit in _limits(folder, own)]
    return min(limits, default=None)


def _limits(folder, own):
    for limit, usage in (
        ("memory.max", "memory.current"),
        ("memory.limit_in_bytes", "memory.usage_in_bytes"),
    ):
        try:
            most = float((folder / limit).read_text())  # "max" is no number
            taken = float((folder / usage).read_text()) - _given_back(folder)
        except (OSError, ValueError):
            continue
        if most < 2**60:  # the first version writes a huge number for none
            yield max(0.0, most - max(0.0, taken - own))


def _given_back(folder):
    """Bytes of pages of files, which a group gives back when it is short of memory."""
    try:
        lines = (folder / "memory.stat").read_text().splitlines()
        return float(dict(line.split() for line in lines).get("inactive_file", 0))
    except (OSError, ValueError):
        return 0.0
