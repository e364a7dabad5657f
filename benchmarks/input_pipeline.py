"""Positive pairs per second that the input pipeline makes out of JPEGs.

    python benchmarks/input_pipeline.py        # about 2 minutes on two cores

Makes its own pictures in a temporary folder. The variants take turns, each round with a
fresh pipeline, so that a noisy machine slows them alike; the table has the median of the
rounds, and the median of the ratios to the first row of the block. CPU time counts all
threads: two cores that do nothing else reach 2,000 / (CPU ms a pair) pairs/s.

For comparison, figures of others for a 512x384 JPEG to two 224 px views on the same kind
of machine (2 cores, idle), SimCLR's settings: google-research/simclr 523 pairs/s without
blur, lightly's transforms 177. micle decodes two images a pair where simclr decodes one:
it has to reach 0.95 of the pairs/s of simclr made to decode once per view.
"""

import argparse
import contextlib
import csv
import io
import os
import pathlib
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf
from absl import logging

from micle_tf.config import Config
from micle_tf.data import cases
from micle_tf.data.augment import Augmentation
from micle_tf.data.pipeline import pair_dataset

# Title, height and width of the images, cases, images per case, side of a view, pairs per batch,
# rows. A row is a method, whether one decoding serves both views, and whether to blur.
BLOCKS = [
    ("one 512x384 JPEG a case, to 224 px", (384, 512), 256, 1, 224, 32, [
        ("simclr", True, False), ("simclr", True, True),
    ]),
    ("six 640x480 JPEGs a case, to 224 px", (480, 640), 64, 6, 224, 32, [
        ("simclr", False, True), ("simclr", True, True), ("micle", False, True),
    ]),
    ("three 48x48 JPEGs a case, to 32 px", (48, 48), 512, 3, 32, 128, [
        ("simclr", False, True), ("simclr", True, True), ("micle", False, True),
        ("micle", False, False),
    ]),
]  # fmt: skip


def photo(rng, height, width):
    """Random blobs of every size, which a JPEG makes about as large as a real photo: [h, w, 3]."""
    pixels = np.full((height, width, 3), 128.0)
    for grain in (4, 8, 16, 32, 64, 128):
        blobs = rng.normal(0, 1, (height // grain + 2, width // grain + 2, 3))
        blobs += rng.normal(0, 1, (*blobs.shape[:2], 1))
        pixels += 45 * (grain / 64) ** 0.8 * tf.image.resize(blobs, (height, width), "bicubic")
    return np.uint8(np.clip(pixels + rng.normal(0, 2, (height, width, 1)), 0, 255))


def make_reader(folder, size, num_cases, images_per_case):
    """Writes cases and opens them; returns the reader of the train split, and kB an image."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    photos = [photo(rng, *size) for _ in range(16)]
    rows, written = [("image", "case_id", "split")], 0
    for case in range(num_cases + 2):
        split = "validation" if case == 0 else "test" if case == 1 else "train"
        for number in range(images_per_case):
            shift = [int(rng.integers(side)) for side in size]
            shifted = np.roll(photos[rng.integers(len(photos))], shift, axis=(0, 1))
            content = tf.io.encode_jpeg(shifted, quality=90).numpy()
            name = f"{case}_{number}.jpg"
            (folder / name).write_bytes(content)
            rows.append((name, case, split))
            written += len(content)
    with open(folder / "cases.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    config = Config(manifest=str(folder / "cases.csv"), data_dir=str(folder / "prepared"))
    with contextlib.redirect_stdout(io.StringIO()):
        return cases.open_cases(config).open("train"), written / (len(rows) - 1) / 1000


def speed(dataset, batch_size, seconds):
    """(pairs per second, CPU ms per pair) of a fresh iterator, from its second batch on."""
    batches = iter(dataset)
    next(batches)
    started, cpu, count = time.perf_counter(), time.process_time(), 0
    while not count or time.perf_counter() < started + seconds:
        next(batches)
        count += batch_size
    wall, cpu = time.perf_counter() - started, time.process_time() - cpu
    return count / wall, 1000 * cpu / count


def measure(folder, block, num_rounds, seconds):
    """Measures and prints one block; makes its pictures in the folder, which it creates."""
    title, image_size, num_cases, images_per_case, side, batch_size, rows = block
    reader, kilobytes = make_reader(folder, image_size, num_cases, images_per_case)
    datasets = [
        pair_dataset(
            reader, method, batch_size, Augmentation(size=side, use_blur=blur), seed=0,
            steps=(0, 10**6), decode_once=once,
        )
        for method, once, blur in rows
    ]  # fmt: skip
    for dataset in datasets:
        speed(dataset, batch_size, seconds=0)  # so that all is traced and read once
    rounds = np.array(
        [[speed(dataset, batch_size, seconds) for dataset in datasets] for _ in range(num_rounds)]
    )
    ratios = np.median(rounds[:, :, 0] / rounds[:, :1, 0], axis=0)
    print(f"\n{title} ({kilobytes:.1f} kB an image)")
    print("method   decodes  blur   pairs/s   ratio   CPU ms/pair")
    for (method, once, blur), (pairs, cpu), ratio in zip(
        rows, np.median(rounds, axis=0), ratios, strict=True
    ):
        decodes, blurred = (1 if once else 2), ("yes" if blur else "no")
        print(f"{method:9s}{decodes:7d}{blurred:>6s}{pairs:10,.0f}{ratio:8.2f}{cpu:14.2f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=1.0, help="of each variant in a round")
    options = parser.parse_args()
    logging.set_verbosity(logging.ERROR)
    print(f"{os.cpu_count()} cores; medians of {options.rounds} rounds of {options.seconds:g} s")
    with tempfile.TemporaryDirectory() as folder:
        for number, block in enumerate(BLOCKS):
            measure(pathlib.Path(folder, str(number)), block, options.rounds, options.seconds)


if __name__ == "__main__":
    main()
