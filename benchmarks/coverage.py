"""Do 95 % intervals hold the truth in 95 of 100 studies, and are p values below a in a of them?

    python benchmarks/coverage.py            # half an hour of one core, shared by --processes

No measure of speed. Each study is made up: 400 patients with 1 to 5 images, one truth a patient,
and scores that are normal with variance 1 given the truth, of which parts are of the patient, of
the variant of the model and of the seed it was trained from. Two scores of one kind and the other
are sqrt(2) apart in the unit of their difference, so that the true AUC is known. What must hold is
in the table, and else the exit code is 1.

It needs numpy, scipy and micle_tf/statistics, and no TensorFlow.
"""

import argparse
import dataclasses
import functools
import math
import multiprocessing
import os
import pathlib
import sys

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # the studies share the cores
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

import numpy as np
from scipy import stats

from micle_tf.statistics import (
    bootstrap,
    delong,
    obuchowski,
    obuchowski_rockette,
    permutation,
    subgroups,
)
from micle_tf.statistics.auc import area
from micle_tf.statistics.counts import Ranking
from micle_tf.statistics.statistic import Statistic, difference

PATIENTS, MOST_IMAGES, PREVALENCE = 400, 5, 0.3
# Means of positives, those of negatives being 0, of a model and of one that is better.
SEPARATION, BETTER = 1.0, 1.2
# Shares of the variance of a score: of what is hard for all models, of how a variant sees it, and
# of a seed. Of the first two, half is of the patient and half of the image.
OF_ALL, OF_VARIANT, OF_SEED = 0.5, 0.4, 0.1
BY_SEED = 0.125  # standard deviation of the separation between seeds

LEVELS = (0.01, 0.05, 0.1)
NEAR = 0.015  # how far the share of p values below a level may be from it


@dataclasses.dataclass(frozen=True)
class Study:
    """The rows of n images."""

    patient: np.ndarray
    truth: np.ndarray

    @classmethod
    def drawn(cls, rng, prevalence=PREVALENCE, most_images=MOST_IMAGES):
        """Prevalence: of all patients alike, or [PATIENTS]."""
        patient = np.repeat(np.arange(PATIENTS), rng.integers(1, most_images + 1, PATIENTS))
        return cls(patient, (rng.random(PATIENTS) < prevalence)[patient])

    def effects(self, rng, share):
        """Normal, [n], with this variance, half of it of the patient."""
        of_patient = rng.normal(size=PATIENTS)[self.patient]
        return math.sqrt(share / 2) * (of_patient + rng.normal(size=len(self.patient)))

    def variants(self, rng, separations, seeds=1, by_seed=0.0):
        """Scores of variants of a model, [V, S, n]."""
        for_all = self.effects(rng, OF_ALL)
        scores = np.empty((len(separations), seeds, len(self.patient)))
        for v, separation in enumerate(separations):
            base = for_all + self.effects(rng, OF_VARIANT)
            for s in range(seeds):
                apart = separation + by_seed * rng.normal()
                scores[v, s] = base + self.effects(rng, OF_SEED) + apart * self.truth
        return scores

    def auc(self, scores):
        """As a statistic of the rows."""
        ranking = Ranking(self.truth, scores)
        return Statistic(["auc"], lambda weights: np.array([area(ranking(weights))]))


def true_auc(separation, by_seed=0.0):
    """Of images of different patients; the mean over all seeds."""
    return stats.norm.cdf(separation / math.sqrt(2 + by_seed**2))


def patients_or_images(rng, options):
    """Intervals of an AUC: patients resampled, images resampled, and without resampling."""
    study = Study.drawn(rng)
    scores = study.variants(rng, [SEPARATION])[0, 0]
    true, auc = true_auc(SEPARATION), study.auc(scores)
    seed = int(rng.integers(2**31))
    rows = np.arange(len(scores))
    intervals = {
        f"AUC, bootstrap of {name}": dataclasses.astuple(
            bootstrap.estimates(auc, groups, options.samples, seed)["auc"]
        )[1:3]
        for name, groups in (("patients", study.patient), ("images", rows))
    }
    value, variance = obuchowski.clustered(study.truth, scores[:, None], study.patient)
    intervals["AUC, Obuchowski"] = delong.normal_interval(value.item(), variance.item())
    return {name: low <= true <= high for name, (low, high) in intervals.items()}


def differences(rng, options):
    """Intervals of the difference of two models as they are."""
    study = Study.drawn(rng)
    a, b = study.variants(rng, [SEPARATION, BETTER])[:, 0]
    true = true_auc(BETTER) - true_auc(SEPARATION)
    more = difference(study.auc(a), study.auc(b))
    seed = int(rng.integers(2**31))
    resampled = bootstrap.estimates(more, study.patient, options.samples, seed)["auc"]
    tested = obuchowski.paired_difference(study.truth, a, b, study.patient)
    return {
        "difference, bootstrap of patients": resampled.low <= true <= resampled.high,
        "difference, Obuchowski": tested.low <= true <= tested.high,
    }


def seeds(rng, options, count):
    """Intervals of the difference of two variants over all seeds."""
    study = Study.drawn(rng)
    scores = study.variants(rng, [SEPARATION, BETTER], count, BY_SEED)
    true = true_auc(BETTER, BY_SEED) - true_auc(SEPARATION, BY_SEED)
    a, b = ([study.auc(one) for one in of_variant] for of_variant in scores)
    seed = int(rng.integers(2**31))
    both = obuchowski_rockette.seeds_as_readers(a, b, study.patient, options.samples, seed)["auc"]
    mean = Statistic(
        ["auc"],
        lambda weights: np.mean([y(weights) - x(weights) for x, y in zip(a, b, strict=True)], 0),
    )
    patients = bootstrap.estimates(mean, study.patient, options.samples, seed)["auc"]
    return {
        f"{count} seeds, Obuchowski-Rockette": both.low <= true <= both.high,
        f"{count} seeds, bootstrap of patients": patients.low <= true <= patients.high,
    }


def null_of_two_models(rng, options):
    """p values of two models that are equally good."""
    study = Study.drawn(rng)
    a, b = study.variants(rng, [SEPARATION, SEPARATION])[:, 0]
    once = np.ones(len(a), np.int64)
    single = Study.drawn(rng, most_images=1)
    scores = single.variants(rng, [SEPARATION, SEPARATION])[:, 0]
    return {
        "swap test": permutation.swap_test(
            lambda scores: study.auc(scores)(once).item(),
            a, b, study.patient, options.permutations, int(rng.integers(2**31)), on_ranks=True,
        ),
        "Obuchowski": obuchowski.paired_difference(study.truth, a, b, study.patient).p,
        "DeLong": obuchowski.paired_difference(single.truth, *scores, single.patient).p,
    }  # fmt: skip


def null_of_variants(rng, options):
    """p values of two variants that are equally good over all seeds."""
    study = Study.drawn(rng)
    scores = study.variants(rng, [SEPARATION, SEPARATION], 5, BY_SEED)
    a, b = ([study.auc(one) for one in of_variant] for of_variant in scores)
    seed = int(rng.integers(2**31))
    tested = obuchowski_rockette.seeds_as_readers(a, b, study.patient, options.samples, seed)
    return {"5 seeds, Obuchowski-Rockette": tested["auc"].p}


def null_of_groups(rng, options):
    """p values of the largest gap between groups that differ in size and prevalence alone."""
    group = rng.choice(3, PATIENTS, p=(0.5, 0.3, 0.2))
    study = Study.drawn(rng, np.array([0.2, 0.3, 0.5])[group])
    scores = study.variants(rng, [SEPARATION])[0, 0]
    view = rng.choice(2, len(scores), p=(0.7, 0.3))
    seed = int(rng.integers(2**31))

    def p(labels):
        return subgroups.compare_groups(
            study.auc(scores), study.truth, labels, study.patient,
            samples=1, permutations=options.permutations, seed=seed,
        )[1].p  # fmt: skip

    return {
        "gap, a label a patient": p(np.array(["a", "b", "c"])[group][study.patient]),
        "gap, a label an image": p(np.array(["frontal", "lateral"])[view]),
    }


# What the share of intervals that hold the truth must be in; of others it is shown.
COVERAGE = {
    "AUC, bootstrap of patients": (0.93, 0.97),
    "AUC, bootstrap of images": (0, 0.91),
    "AUC, Obuchowski": (0.93, 0.97),
    "difference, bootstrap of patients": (0.93, 0.97),
    "difference, Obuchowski": (0.93, 0.97),
    "3 seeds, Obuchowski-Rockette": (0.91, 0.98),
    "3 seeds, bootstrap of patients": (0, 0.88),
    "5 seeds, Obuchowski-Rockette": (0.93, 0.97),
    "10 seeds, Obuchowski-Rockette": (0.93, 0.97),
}
COVERAGE_PARTS = [
    patients_or_images,
    differences,
    *(functools.partial(seeds, count=count) for count in (3, 5, 10)),
]
NULL_PARTS = [null_of_two_models, null_of_variants, null_of_groups]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--sets", type=int, default=1000, help="studies of an interval")
    parser.add_argument("--null_sets", type=int, default=4000, help="studies of a p value")
    parser.add_argument("--samples", type=int, default=500, help="resamples of patients")
    parser.add_argument("--permutations", type=int, default=199)
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with multiprocessing.Pool(options.processes) as pool:
        held = [*coverage(pool, options), *null(pool, options)]
    sys.exit(0 if all(held) else 1)


def coverage(pool, options):
    """Prints the share of intervals that hold the truth; whether each is as it must be."""
    print(f"{options.sets:,} studies, {options.samples:,} resamples\n")
    print("| interval | coverage | standard error | must be in | |")
    print("|---|---|---|---|---|", flush=True)
    for part in COVERAGE_PARTS:
        for name, covered in studies(pool, part, options.sets, options).items():
            low, high = COVERAGE.get(name, (0, 1))
            share = covered.mean()
            held = low <= share <= high
            error = standard_error(share, len(covered))
            must = f"{low:g} to {high:g} | {verdict(held)}" if name in COVERAGE else " | "
            print(f"| {name} | {share:.3f} | {error:.3f} | {must} |", flush=True)
            yield held


def null(pool, options):
    """Prints the share of p values up to each level; whether each is near it."""
    print(
        f"\n{options.null_sets:,} studies without a difference, {options.permutations} "
        f"permutations; standard errors "
        + ", ".join(f"{standard_error(a, options.null_sets):.4f}" for a in LEVELS)
        + "\n"
    )
    print("| p | " + " | ".join(f"up to {a:g}" for a in LEVELS) + " | mean | |")
    print("|---|" + "---|" * (len(LEVELS) + 2), flush=True)
    for part in NULL_PARTS:
        for name, p in studies(pool, part, options.null_sets, options).items():
            shares = [(p <= a).mean() for a in LEVELS]
            held = all(abs(share - a) <= NEAR for share, a in zip(shares, LEVELS, strict=True))
            columns = [*(f"{share:.4f}" for share in shares), f"{p.mean():.3f}", verdict(held)]
            print(f"| {name} | {' | '.join(columns)} |", flush=True)
            yield held


def studies(pool, part, count, options):
    """{name: [count]} of a part, each study from a seed of its own."""
    results = pool.map(functools.partial(one_study, part, options), range(count), chunksize=5)
    return {name: np.array([result[name] for result in results]) for name in results[0]}


def one_study(part, options, number):
    return part(np.random.default_rng([options.seed, number]), options)


def standard_error(share, count):
    """Of a share of so many independent studies."""
    return math.sqrt(share * (1 - share) / count)


def verdict(held):
    return "yes" if held else "NO"


if __name__ == "__main__":
    main()
