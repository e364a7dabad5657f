"""Positive pairs per second out of photos that lie on their side, beside photos that do not.

    python benchmarks/turned.py                    # about 3 minutes on two cores
    python benchmarks/turned.py --before=FOLDER    # and the code of another checkout, on photos
                                                   # that do not

Each variant is a process of its own that makes the same photos, half of them with the
orientation 6 of a phone held upright and half with 8, or none; all processes then take turns,
in an order that is turned round each round. The table has the medians of the rounds, and of the
ratios to the first row of the block.
"""

import argparse
import os
import pathlib
import subprocess
import sys
import tempfile

import numpy as np

ROOT = pathlib.Path(__file__).parents[1]
BLOCKS = {  # height, width, cases, images a case, side of a view, pairs per batch, method
    "one 512x384 photo a case, to 224 px, simclr": (384, 512, 128, 1, 224, 32, "simclr"),
    "three 640x480 photos a case, to 224 px, micle": (480, 640, 64, 3, 224, 32, "micle"),
    "three 48x48 photos a case, to 32 px, micle": (48, 48, 256, 3, 32, 128, "micle"),
}
EXIF = b"\xff\xe1\x00\x22Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0%c\0\0\0\0\0\0"


def serve(block, turned):
    """Makes the photos; then measures for a second at each line of input, and prints a line."""
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    import csv

    import tensorflow as tf
    from absl import logging

    from benchmarks.input_pipeline import photo, speed
    from micle_tf.config import Config
    from micle_tf.data import cases
    from micle_tf.data.augment import Augmentation
    from micle_tf.data.pipeline import pair_dataset

    logging.set_verbosity(logging.ERROR)
    answers, sys.stdout = sys.stdout, sys.stderr
    height, width, num_cases, per_case, side, batch_size, method = BLOCKS[block]
    rng, rows = np.random.default_rng(0), [("image", "case_id", "split")]
    photos = [photo(rng, height, width) for _ in range(16)]
    with tempfile.TemporaryDirectory() as folder:
        for case in range(num_cases + 2):
            for number in range(per_case):
                content = tf.io.encode_jpeg(photos[rng.integers(16)], quality=90).numpy()
                if turned:
                    content = content[:2] + EXIF % (6, 8)[number % 2] + content[2:]
                name = f"{case}_{number}.jpg"
                pathlib.Path(folder, name).write_bytes(content)
                split = "validation" if case == 0 else "test" if case == 1 else "train"
                rows.append((name, case, split))
        with open(f"{folder}/cases.csv", "w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows(rows)
        data = cases.open_cases(Config(manifest=f"{folder}/cases.csv", data_dir=f"{folder}/data"))
        dataset = pair_dataset(
            data.open("train"), method, batch_size, Augmentation(size=side), 0, (0, 10**6)
        )
        speed(dataset, batch_size, 0)
        print("ready", file=answers, flush=True)
        for _ in sys.stdin:
            print(*speed(dataset, batch_size, 1.0), file=answers, flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--before", default="", help="another checkout")
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    variants = [("no photo turned", ROOT, 0), ("all turned", ROOT, 1)]
    if options.before:
        variants.insert(0, ("no photo turned, before", options.before, 0))
    for block in BLOCKS:
        processes = [
            subprocess.Popen(
                [sys.executable, __file__, "--serve", block, str(turned)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                env=os.environ | {"PYTHONPATH": str(code)},
            )
            for _, code, turned in variants
        ]
        for process in processes:
            process.stdout.readline()
        found = np.zeros((options.rounds, len(variants), 2))
        for number, measured in enumerate(found):
            for k in np.roll(range(len(variants)), number):
                print(file=processes[k].stdin, flush=True)
                measured[k] = [float(value) for value in processes[k].stdout.readline().split()]
        for process in processes:
            process.stdin.close()
            process.wait()
        print(f"\n{block}; medians of {options.rounds} rounds of a second")
        print(f"{'':26s}{'pairs/s':>9s}{'ratio':>8s}{'CPU ms a pair':>15s}{'ratio':>8s}")
        ratios = np.median(found / found[:, :1], axis=0)
        for (name, *_), (pairs, cpu), ratio in zip(
            variants, np.median(found, axis=0), ratios, strict=True
        ):
            print(f"{name:26s}{pairs:9,.0f}{ratio[0]:8.3f}{cpu:15.3f}{ratio[1]:8.3f}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--serve"]:
        serve(sys.argv[2], int(sys.argv[3]))
    else:
        main()
