"""seen.npz of a million images: size, seconds to make, to write, to read and to look up.

python benchmarks/seen.py [IMAGES]
"""

import os
import pathlib
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

from micle_tf.data.cases import CaseData
from micle_tf.data.reader import CaseIndex, CaseReader
from micle_tf.data.seen import UNLABELLED, Seen
from micle_tf.evaluation.overlap import overlap_of


def data_of(images):
    """Two images a case, two cases a patient; random pixel hashes."""
    cases = images // 2
    index = CaseIndex(
        case_id=np.array([f"case{k:07d}" for k in range(cases)]),
        patient_id=np.array([f"patient{k // 2:06d}" for k in range(cases)]),
        first_image=np.arange(0, images + 1, 2),
        image_id=np.array([f"image{k}" for k in range(images)]),
        class_label=np.zeros(images, np.int64),
        findings=np.zeros((0, 0), np.int8),
        pixel_hash=np.random.default_rng(0).integers(-(2**63), 2**63 - 1, images),
    )
    return CaseData(
        "set/a", ("x",), (), True, (), {"train": index}, {"train": CaseReader([], index)}
    )


def main(images=1_000_000):
    data = data_of(int(images))
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "seen.npz")

        def timed(what, function):
            started = time.perf_counter()
            result = function()
            print(f"{what:12s} {time.perf_counter() - started:6.2f} s")
            return result

        seen = timed("hashed", lambda: Seen.before("").add(UNLABELLED, data, "train"))
        timed("written", lambda: seen.write(path))
        print(f"{'size':12s} {os.path.getsize(path) / 1e6:6.1f} MB")
        seen = timed("read", lambda: Seen.read(folder))
        judged = np.arange(int(images))
        timed("looked up", lambda: overlap_of(seen, data, "train", judged))


if __name__ == "__main__":
    main(*sys.argv[1:])
