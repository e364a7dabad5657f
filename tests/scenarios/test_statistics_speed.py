"""A small benchmarks/statistics_speed.py, which nothing else runs."""

import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]


def test_a_few_images_and_two_resamples():
    command = [sys.executable, "benchmarks/statistics_speed.py", "--samples=2", "--images=900"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    *_, head, _, row = done.stdout.splitlines()
    table = dict(zip(head.split(" | "), row.split(" | "), strict=True))
    assert (table["| images"], table["resamples"]) == ("| 900", "2")
    assert int(table["metrics"]) > 300 and float(table["CPU s"]) >= 0
