"""CPU seconds and peak memory of judging a chest X-ray evaluation, patients resampled.

    python benchmarks/statistics_speed.py [--samples=1000] [--images=25596]

25,596 images of 10,600 patients and 14 findings, the size of the test split of NIH ChestX-ray14,
with made-up labels and probabilities: one in ten is not known, and a third of the probabilities has
two digits, so that there are ties. All metrics, at two operating points, a prevalence and three
thresholds, as they are and calibrated by as many images of validation. One process, one thread.
"""

import argparse
import os
import pathlib
import resource
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")

import numpy as np

from micle_tf.evaluation.judging import from_validation, judge
from micle_tf.statistics.questions import Questions, operating_points

IMAGES, PATIENTS, FINDINGS = 25_596, 10_600, 14
NAMES = tuple(f"finding{k}" for k in range(FINDINGS))
QUESTIONS = Questions(
    operating_points("sensitivity@specificity=0.9,specificity@sensitivity=0.95"),
    prevalence=0.1,
    net_benefit_at=(0.05, 0.1, 0.2),
)


def made_up(rng, images):
    """Rows of images, as `judging.judge` takes them."""
    prevalences = np.geomspace(0.002, 0.3, FINDINGS)
    p = 1 / (1 + np.exp(-(np.log(prevalences) + rng.normal(0, 1.2, (images, FINDINGS)))))
    y = (rng.random(p.shape) < p).astype(np.int8)
    y[rng.random(p.shape) < 0.1] = -2
    p[:, ::3] = np.round(p[:, ::3], 2)
    ids = np.array([["image", f"c{k}", "", f"i{k}"] for k in range(images)])
    patient = rng.integers(0, max(1, images * PATIENTS // IMAGES), images)
    return {"image": {"ids": ids, "patient": patient, "label": y, "score": p}}


def main(argv):
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--samples", type=int, default=1000, help="resamples of patients")
    parser.add_argument("--images", type=int, default=IMAGES)
    asked = parser.parse_args(argv)
    rng = np.random.default_rng(0)
    rows, validation = made_up(rng, asked.images), made_up(rng, asked.images)

    started = time.process_time()
    fixed = from_validation(validation, NAMES, True, QUESTIONS.operating_points)
    after_validation = time.process_time() - started
    judged = judge(rows, NAMES, True, QUESTIONS, fixed, samples=asked.samples, seed=0)
    total = time.process_time() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print("| images | metrics | resamples | CPU s of validation | CPU s | peak MB |")
    print("|---|---|---|---|---|---|")
    print(
        f"| {asked.images:,} | {len(judged.estimates)} | {asked.samples:,} "
        f"| {after_validation:.1f} | {total:.1f} | {peak:,.0f} |"
    )


if __name__ == "__main__":
    main(sys.argv[1:])
