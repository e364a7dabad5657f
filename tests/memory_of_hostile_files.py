"""What hostile files of under 5 MB take of a process.

    python -m tests.memory_of_hostile_files SIDE          # prepared, --max_pixels = SIDE x SIDE
    python -m tests.memory_of_hostile_files SIDE EXPORT   # sent to serving_default of an export

Prints a JSON object {name: [MB above the start, what came of it]}. Linux.
"""

import json
import os
import sys

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import tensorflow as tf

from data_builders.images import BadImage, ImageOptions, stored_image
from tests import hostile_files


def _memory(field):
    with open("/proc/self/status", encoding="utf-8") as file:
        return next(int(line.split()[1]) for line in file if line.startswith(field)) / 1024


def _measure(work, content):
    with open("/proc/self/clear_refs", "w", encoding="utf-8") as file:
        file.write("5")  # the highest point begins anew
    before = _memory("VmRSS")
    try:
        work(content)
        outcome = "accepted"
    except (BadImage, tf.errors.InvalidArgumentError) as error:
        outcome = str(error).strip()[:400]
    return round(_memory("VmHWM") - before), outcome


def main(side, export=None):
    """Measures all files, one after the other."""
    if export:
        answer = tf.saved_model.load(export).signatures["serving_default"]
        work = lambda content: answer(image_bytes=tf.constant([content]))
    else:
        # As it is stored, and shrunk, which takes more.
        options = ImageOptions(side * side), ImageOptions(side * side, max_image_side=512)
        work = lambda content: [stored_image(content, each) for each in options]
    work(hostile_files.flat_png(8, 8, 2, 3))  # what is made once
    files = hostile_files.all_of_them(side)
    print(json.dumps({name: _measure(work, content) for name, content in files.items()}))


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:])
