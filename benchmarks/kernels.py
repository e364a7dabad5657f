"""What --cpu_kernels=onednn gains: seconds of a pretraining step of --preset=laptop.

    python benchmarks/kernels.py            # about a minute on two cores

TensorFlow chooses its kernels when it is loaded, so that each measurement is a process; the two
variants take turns. Prints medians, and the ratio.
"""

import argparse
import os
import statistics
import subprocess
import sys

STEP = """
import time
from micle_tf.config import Config
from micle_tf import presets
from micle_tf.modes import pretrain
from micle_tf.training import contrastive
import tensorflow as tf
config = Config(**presets.flags("laptop", "pretrain", None))
models, optimizer, _ = pretrain.build(config, 1000, tf.distribute.get_strategy())
loss_of = pretrain.loss_of(config)
from micle_tf.training.step import trainable_variables
variables = trainable_variables(models)
@tf.function(autograph=False)
def step(batch):
    with tf.GradientTape() as tape:
        loss, _ = loss_of(contrastive.embed(models, batch), batch)
    optimizer.apply(tape.gradient(loss, variables), variables)
    return loss
shape = (config.train_batch_size, config.image_size, config.image_size, 3)
batch = {name: tf.random.stateless_uniform(shape, (0, 0)) for name in ("view1", "view2")}
float(step(batch)), float(step(batch))
seconds = []
for _ in range(10):
    started = time.perf_counter()
    float(step(batch))
    seconds.append(time.perf_counter() - started)
print(sorted(seconds)[5])
"""


def main():
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    found = {"default": [], "onednn": []}
    for _ in range(rounds):
        for name, seconds in found.items():
            environment = {k: v for k, v in os.environ.items() if k != "TF_ENABLE_ONEDNN_OPTS"}
            environment |= {"TF_ENABLE_ONEDNN_OPTS": "1"} if name == "onednn" else {}
            environment |= {"TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": os.pathsep.join(sys.path)}
            done = subprocess.run(
                [sys.executable, "-c", STEP], capture_output=True, text=True, env=environment
            )
            if done.returncode:
                sys.exit(done.stderr)
            seconds.append(float(done.stdout.split()[-1]))
    first = statistics.median(found["default"])
    print("| --cpu_kernels | s/step | ratio |\n|---|---|---|")
    for name, seconds in found.items():
        median = statistics.median(seconds)
        print(f"| {name} | {median:.3f} | {median / first:.2f} |")


if __name__ == "__main__":
    main()
