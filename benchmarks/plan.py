"""What --dry_run says beside what a run then takes: seconds a step, and memory.

    python benchmarks/plan.py cases.csv

Pretrains on the manifest for a few dozen steps, in processes of their own, the plan before each
run. Seconds are those of the bar, memory is the largest resident size.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile

import numpy as np

# depth, width, side, pairs, steps
SIZES = [(10, 0.5, 64, 96, 60), (18, 1.0, 96, 64, 30), (50, 1.0, 96, 32, 30), (50, 1.0, 224, 8, 30)]
CHILD = """
import resource, sys
from micle_tf import cli, quiet
quiet.hide_native_messages()
code = cli.main(sys.argv[1:])
print("peak", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
sys.exit(code)
"""


def main():
    """Prints a table with a row per size."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("manifest", help="a CSV of cases, a few hundred photos")
    parser.add_argument("--data_dir", default="")
    arguments = parser.parse_args()
    print("| model | s/step planned | run | ratio | GB estimated | planned | run | ratio |")
    print("|---|---|---|---|---|---|---|---|")
    for depth, width, side, pairs, steps in SIZES:
        flags = [
            "--mode=pretrain", "--method=simclr", "--preset=laptop",
            f"--manifest={arguments.manifest}", f"--data_dir={arguments.data_dir}",
            f"--resnet_depth={depth}", f"--width_multiplier={width}", f"--image_size={side}",
            f"--train_batch_size={pairs}", f"--train_steps={steps}", "--log_every=5",
        ]  # fmt: skip
        with tempfile.TemporaryDirectory() as folder:
            run = os.path.join(folder, "run")
            plan, _ = child([*flags, f"--model_dir={run}", "--dry_run"])
            _, peak = child([*flags, f"--model_dir={run}"])
            with open(os.path.join(run, "metrics.jsonl"), encoding="utf-8") as file:
                lines = [json.loads(line) for line in file]
        seconds = float(re.search(r"time: ([\d.e-]+) s a step", plan)[1])
        speeds = [line["images_per_second"] for line in lines if "images_per_second" in line]
        taken = 2 * pairs / np.median(speeds)
        estimated, planned = map(float, re.findall(r"memory: about ([\d.]+) GB", plan))
        print(
            f"| ResNet-{depth} x{width:g}, {side} px, {pairs} pairs | {seconds:.2f} | {taken:.2f} "
            f"| {seconds / taken:.2f} | {estimated:.1f} | {planned:.1f} | {peak / 1e9:.1f} | "
            f"{planned / (peak / 1e9):.2f} |",
            flush=True,
        )


def child(flags):
    """(what a command prints, its largest resident size in bytes)."""
    environment = {**os.environ, "TF_ENABLE_ONEDNN_OPTS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", CHILD, *flags], capture_output=True, text=True, env=environment
    )
    if done.returncode:
        sys.exit(done.stderr or done.stdout)
    return done.stdout, 1024 * int(re.search(r"^peak (\d+)$", done.stdout, re.MULTILINE)[1])


if __name__ == "__main__":
    main()
