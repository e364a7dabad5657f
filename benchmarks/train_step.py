"""Time and peak memory of one pretraining step: ResNet-50, 32 pairs at 96 px.

    python benchmarks/train_step.py            # about 3 minutes on two cores
    python benchmarks/train_step.py --pairs=128 --size=224 --jit_compile    # on a GPU, by XLA

Each variant is a process of its own, which tells its own peak memory (of the host, whole process,
TensorFlow included). All stay alive and take steps in turn, so that a noisy machine
slows them alike; the table has the median of the rounds and the ratio to the first row.

For comparison, figures of others for the same step on the same kind of machine (2
cores), each process alone: google-research/simclr 2.1 s and 2,950 MB; lightly on torch
channels_last 2.0 s and 2,330 MB, in bfloat16 1.05 s and 1,690 MB; a Keras 3 prototype
with fused batch norm 1.77 s and 2,440 MB, in bfloat16 1.06 s and 2,000 MB.
"""

import argparse
import functools
import os
import pathlib
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).parents[1]
VARIANTS = [
    ("fused", "float32"),
    ("keras", "float32"),
    ("fused", "mixed_bfloat16"),
    ("keras", "mixed_bfloat16"),
]


def make_step(norm_name, precision, pairs, size, microbatch_size=0, *, jit_compile=False):
    """The product's own training step of a ResNet-50, and a batch for it."""
    import keras
    import tensorflow as tf

    from micle_tf.config import Config
    from micle_tf.models import projection_head, resnet_encoder
    from micle_tf.modes.pretrain import loss_of
    from micle_tf.optimizers import LARS
    from micle_tf.training import contrastive, strategy
    from micle_tf.training.handed import Training
    from micle_tf.training.normalization import batch_norm
    from micle_tf.training.step import as_graph, make_train_step, trainable_variables

    strategy.set_precision(precision)
    norm = batch_norm(1) if norm_name == "fused" else keras.layers.BatchNormalization
    models = {"encoder": resnet_encoder(50, input_shape=(size, size, 3), norm=norm)}
    models["projection_head"] = projection_head(2, 128, norm)
    models["projection_head"].build(models["encoder"].output_shape)
    optimizer = LARS(0.1, weight_decay=1e-6)
    optimizer.build(trainable_variables(models))
    config = Config(precision=precision, image_size=size)
    training = Training(
        models=models, optimizer=optimizer, schedule=None, dataset=None, total_steps=0,
        forward=functools.partial(contrastive.embed, models),
        loss=loss_of(config),
        images_per_step=2 * pairs, constants={}, note=str,
    )  # fmt: skip
    step = make_train_step(training, tf.distribute.get_strategy(), microbatch_size)
    shape = (pairs, size, size, 3)
    batch = {"view1": tf.random.uniform(shape), "view2": tf.random.uniform(shape)}
    return as_graph(step, jit_compile), batch


def work(*arguments, jit_compile=False):
    """Builds a step, then takes one per line of stdin."""
    step, batch = make_step(*arguments, jit_compile=jit_compile)
    for _ in sys.stdin:
        started = time.perf_counter()
        float(step(batch)["loss"])
        print(time.perf_counter() - started, peak_megabytes(), flush=True)


def start_worker(script, *arguments):
    """A process of its own that takes a step whenever `take_step` asks it to."""
    return subprocess.Popen(
        [sys.executable, script, "--worker", *map(str, arguments)], text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3", "TF_FORCE_GPU_ALLOW_GROWTH": "true"},
    )  # fmt: skip


def take_step(worker):
    """(seconds of the step, peak MB of the process so far)."""
    worker.stdin.write("step\n")
    worker.stdin.flush()
    seconds, megabytes = map(float, worker.stdout.readline().split())
    return seconds, megabytes


def peak_megabytes():
    """Peak resident memory of this process, as the kernel counted it."""
    with open("/proc/self/status", encoding="ascii") as file:
        line = next(line for line in file if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--worker", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--pairs", type=int, default=32)
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--jit_compile", action="store_true")
    options = parser.parse_args()
    sys.path.insert(0, str(ROOT))
    if options.worker:
        shape = options.pairs, options.size
        return work(*options.worker, *shape, jit_compile=options.jit_compile)
    size = [f"--pairs={options.pairs}", f"--size={options.size}"]
    size += ["--jit_compile"] * options.jit_compile
    workers = [start_worker(__file__, *variant, *size) for variant in VARIANTS]
    times, memory = [[] for _ in workers], [0.0] * len(workers)
    for round_number in range(options.rounds + 1):
        for number, worker in enumerate(workers):
            seconds, memory[number] = take_step(worker)
            if round_number:  # the first one traces
                times[number].append(seconds)
    for worker in workers:
        worker.stdin.close()
        worker.wait()
    print(f"ResNet-50, {options.pairs} pairs at {options.size} px, {os.cpu_count()} cores")
    print(f"{'batch norm':12s}{'precision':18s}{'s/step':>8s}{'ratio':>8s}{'peak MB':>10s}")
    first = statistics.median(times[0])
    for (norm, precision), seconds, peak in zip(VARIANTS, times, memory, strict=True):
        median = statistics.median(seconds)
        print(f"{norm:12s}{precision:18s}{median:8.2f}{median / first:8.2f}{peak:10,.0f}")
    return None


if __name__ == "__main__":
    main()
