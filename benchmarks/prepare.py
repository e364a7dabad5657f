"""Time and memory of --mode=prepare, and how both grow with the number of cases.

    python benchmarks/prepare.py ham10000      # the folder with HAM10000_metadata.csv
    python benchmarks/prepare.py               # rendered noise in the same layout

The rows are given once and, under new names, four times. Memory that grows with the number of
cases is what a case costs; that of the images must not be in it.
"""

import argparse
import csv
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

import numpy as np

ROOT = pathlib.Path(__file__).parents[1]
COPIES = (1, 4)
NOISE = 7_470, 10_015  # cases and images, as many as HAM10000 has


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("folder", nargs="?", help="HAM10000 in its owners' layout")
    parser.add_argument("flags", nargs="*", help="more flags of run.py, after --")
    options = parser.parse_args()
    rows, folder = [], None
    with tempfile.TemporaryDirectory() as scratch:
        folder = pathlib.Path(options.folder) if options.folder else noise(pathlib.Path(scratch))
        print("| rows | cases | image MB | s | peak MB |\n|---|---|---|---|---|")
        for copies in COPIES:
            with tempfile.TemporaryDirectory() as place:
                size = copied(folder, pathlib.Path(place), copies)
                cases, seconds, peak = prepared(place, options.flags)
            rows.append((cases, peak))
            shown = (
                f"| {copies}x | {cases:,} | {size / 1e6:,.0f} | {seconds:.1f} | {peak / 1e6:,.0f} |"
            )
            print(shown, flush=True)
    (few, low), (many, high) = rows
    print(f"\n{(high - low) / (many - few) / 1000:.2f} kB of memory a case")


def noise(folder):
    """A folder like HAM10000's, of JPEGs of noise."""
    import tensorflow as tf

    rng, (cases, images) = np.random.default_rng(0), NOISE
    (folder / "images").mkdir()
    lesion = np.sort(np.concatenate([np.arange(cases), rng.integers(cases, size=images - cases)]))
    with open(folder / "HAM10000_metadata.csv", "w", newline="", encoding="utf-8") as file:
        out = csv.writer(file)
        out.writerow(["lesion_id", "image_id", "dx", "dx_type", "age", "sex", "localization"])
        for i, number in enumerate(lesion):
            row = [f"HAM_{number:07d}", f"ISIC_{i:07d}", "nv", "histo", "45.0", "male", "back"]
            out.writerow(row)
            pixels = tf.constant(rng.integers(256, size=(64, 64, 3), dtype=np.uint8))
            tf.io.write_file(str(folder / "images" / f"{row[1]}.jpg"), tf.io.encode_jpeg(pixels))
    return folder


def copied(source, place, copies):
    """Copies the images `copies` times under new names; returns the bytes of all images."""
    images = {path.stem: path for path in source.rglob("*.jpg")}
    (place / "images").mkdir()
    size = 0
    with open(next(source.glob("HAM10000_metadata*")), newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    with open(place / "HAM10000_metadata.csv", "w", newline="", encoding="utf-8") as file:
        out = csv.DictWriter(file, rows[0])
        out.writeheader()
        for copy in range(copies):
            for row in rows:
                name = f"{row['image_id']}_{copy}"
                out.writerow(row | {"lesion_id": f"{row['lesion_id']}_{copy}", "image_id": name})
                target = shutil.copyfile(images[row["image_id"]], place / "images" / f"{name}.jpg")
                size += os.path.getsize(target)
    return size


def prepared(folder, flags):
    """(cases, seconds, peak bytes of memory) of one preparation, in a process of its own."""
    command = [
        sys.executable, str(ROOT / "run.py"), "--mode=prepare", "--dataset=derm_cases/ham10000",
        f"--manual_dir={folder}", f"--data_dir={folder}/data", *flags,
    ]  # fmt: skip
    started = time.monotonic()
    # A child's peak is told by wait4 alone: RUSAGE_CHILDREN keeps the largest of all.
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"run.py ended with {os.waitstatus_to_exitcode(status)}")
    found = re.search(r"([\d,]+) cases, [\d,]+ images", output)
    return int(found[1].replace(",", "")), time.monotonic() - started, usage.ru_maxrss * 1024


if __name__ == "__main__":
    main()
