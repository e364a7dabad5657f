"""What hostile files take of a process: `python -m tests.memory_of_hostile_files PIXELS [EXPORT]`.

Prints a JSON object {name: [MB above the start, what came of it]}, of preparing, or of the
signature serving_default of an export.
"""

import json
import os
import resource
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
        outcome = str(error).strip()[:200]
    return round(_memory("VmHWM") - before), outcome


def main(max_pixels, export=None):
    """Measures all files, one after the other."""
    if export:
        answer = tf.saved_model.load(export).signatures["serving_default"]
        work = lambda content: answer(image_bytes=tf.constant([content]))
    else:
        work = lambda content: stored_image(content, ImageOptions(max_pixels, max_image_side=512))
    files = hostile_files.all_of_them()
    work(hostile_files.flat_png(8, 8, 2, 3))  # what is made once
    print(json.dumps({name: _measure(work, content) for name, content in files.items()}))
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024, "MB", file=sys.stderr)


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:])
