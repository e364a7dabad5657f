"""CPU seconds and peak memory of all metrics of a chest X-ray evaluation, patients resampled.

    python benchmarks/statistics_speed.py [RESAMPLES]

25,596 images of 10,600 patients and 14 findings, the size of the test split of NIH ChestX-ray14,
with made-up labels and probabilities: one in ten is not known, and a third of the probabilities has
two digits, so that there are ties. One process, one thread.
"""

import os
import pathlib
import resource
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")

import numpy as np

from micle_tf.statistics import operating_points, panel

IMAGES, PATIENTS, FINDINGS = 25_596, 10_600, 14


def made_up(rng):
    """(findings int8 [n, K], probabilities float64 [n, K])."""
    prevalences = np.geomspace(0.002, 0.3, FINDINGS)
    p = 1 / (1 + np.exp(-(np.log(prevalences) + rng.normal(0, 1.2, (IMAGES, FINDINGS)))))
    y = (rng.random(p.shape) < p).astype(np.int8)
    y[rng.random(p.shape) < 0.1] = -2
    p[:, ::3] = np.round(p[:, ::3], 2)
    return y, p


def main(resamples=1000):
    resamples = int(resamples)
    rng = np.random.default_rng(0)
    y, p = made_up(rng)
    points = operating_points.parse("sensitivity@specificity=0.9,specificity@sensitivity=0.95")
    thresholds = {
        point: np.array(
            [
                operating_points.choose_threshold(y[:, k] == 1, p[:, k], point)
                for k in range(FINDINGS)
            ]
        )
        for point in points
    }
    asked = panel.Asked(0.1, thresholds, (0.05, 0.1, 0.2))

    started = time.process_time()
    names = [f"finding{k}" for k in range(FINDINGS)]
    statistic = panel.of_findings(y, p, names, asked).statistic
    prepared = time.process_time() - started
    patient = rng.integers(0, PATIENTS, IMAGES)
    for _ in range(resamples):
        drawn = rng.choice(PATIENTS, size=PATIENTS)
        statistic(np.bincount(drawn, minlength=PATIENTS)[patient])
    total = time.process_time() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print("| metrics | resamples | CPU s to prepare | CPU ms a resample | CPU s | peak MB |")
    print("|---|---|---|---|---|---|")
    print(
        f"| {len(statistic.names)} | {resamples:,} | {prepared:.1f} "
        f"| {1000 * (total - prepared) / resamples:.1f} | {total:.1f} | {peak:,.0f} |"
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
