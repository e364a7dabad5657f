"""Is one run better than another? The difference of their metrics, patients resampled in pairs.

    python -m micle_tf.evaluation.compare RUN_A RUN_B

Both runs hold a predictions.csv of the same images, or --common takes those that they share. Each
resample draws patients once and judges both runs on them, so that what is easy or hard about a
patient cancels out: the interval of the difference is narrower than those of the two runs suggest.
"""

import json
import os
import sys

import numpy as np

from micle_tf import console, quiet
from micle_tf.data.targets import is_labelled
from micle_tf.errors import BadInput
from micle_tf.evaluation.intervals import bootstrap_intervals
from micle_tf.evaluation.matching import matched
from micle_tf.evaluation.metrics import Metrics, metrics_of
from micle_tf.evaluation.predictions_file import read_bytes, read_predictions
from micle_tf.exits import ArgumentParser, guarded


def compare(
    run_a: str,
    run_b: str,
    samples: int = 1000,
    seed: int = 0,
    common: bool = False,
    allow_seen: bool = False,
) -> dict[str, tuple[float, float, float]]:
    """Differences B - A of all metrics, with 95 % intervals.

    Args:
      run_a, run_b: run directories, local or paths of `tf.io.gfile`, with a predictions.csv of the
        same names and, in any order, the same rows.
      samples: resamples of patients (of cases, where no patient is known).
      seed: of the resampling.
      common: compare on the rows that both have, with the same label, and leave out the others.
      allow_seen: compare also where one of the two learned from what it was judged on.

    Returns:
      {"case/top1": (difference, low, high), ...}, names as in result.json.

    Raises:
      BadInput: a file is missing or damaged, or the two are not of the same rows, labels and
        names, or share none; or one learned from images that it was judged on, labels and all.
    """
    rows_a, names, multilabel = read_predictions(run_a)
    rows_b, names_b, multilabel_b = read_predictions(run_b)
    if (names, multilabel) != (names_b, multilabel_b):
        raise BadInput(f"{run_b}: predicts other classes or findings than {run_a}")
    for run in dict.fromkeys((run_a, run_b)):
        _refuse_seen(run, allow_seen)
    data = [_data_of(run) for run in (run_a, run_b)]
    if all(data) and data[0] != data[1]:
        console.say(
            f"note: {run_a} was judged on {data[0]}, {run_b} on {data[1]}: images are matched by "
            "name"
        )
    rows_a, rows_b = matched([(run_a, rows_a), (run_b, rows_b)], common)
    differences = {}
    for level, rows in rows_a.items():
        measure = metrics_of(level, names, multilabel)

        def difference(
            y_true: np.ndarray, y_score: np.ndarray, measure: Metrics = measure
        ) -> dict[str, float]:
            a, b = (measure(y_true, y_score[:, i]) for i in (0, 1))
            return {name: b[name] - a[name] for name in a}

        labelled = is_labelled(rows["label"])
        if not labelled.any():
            continue
        both = np.stack([rows["score"], rows_b[level]["score"]], axis=1)[labelled]
        arguments = rows["label"][labelled], both
        with console.Progress(f"intervals of {level}s", samples, "resample") as progress:
            ends = bootstrap_intervals(
                difference,
                *arguments,
                rows["patient"][labelled],
                samples,
                seed,
                progress=progress.at,
            )
        for name, value in difference(*arguments).items():
            differences[name] = (value, *ends[name])
    return differences


def _refuse_seen(run: str, allowed: bool) -> None:
    """Raises BadInput if a run's result.json says that it learned from what it was judged on."""
    try:
        result = json.loads(read_bytes(os.path.join(run, "result.json")))
        if "seen" not in result:  # of an earlier version
            console.say(f"note: what {run} had seen before it was judged cannot be checked")
            return
        learned, judged = (result["seen"][name]["images"] for name in ("learned", "judged"))
    except (BadInput, ValueError, KeyError, TypeError):  # predictions alone
        return
    if learned:
        what = f"{learned:,} of the {judged:,} images that it was judged on"
        if not allowed:
            raise BadInput(
                f"{run}: learned from {what}, labels and all, which is no comparison; judge it on "
                "others, or go on with --allow_seen"
            )
        console.say(f"warning: {run} learned from {what}")


def _data_of(run: str) -> str:
    """The name of the prepared data that a run was judged on; "" if it does not say."""
    try:
        return json.loads(read_bytes(os.path.join(run, "config.json"))).get("data", "")
    except (BadInput, ValueError, AttributeError):
        return ""


def main(argv: list[str]) -> int:
    """Prints the comparison; returns the exit code."""

    def command() -> None:
        parser = ArgumentParser(
            prog="python -m micle_tf.evaluation.compare", description=__doc__.split("\n\n")[0]
        )
        parser.add_argument("run_a")
        parser.add_argument("run_b")
        parser.add_argument("--samples", type=int, default=1000, help="resamples of patients")
        parser.add_argument("--seed", type=int, default=0, help="of the resampling")
        parser.add_argument("--common", action="store_true", help="only the rows that both have")
        parser.add_argument(
            "--allow_seen", action="store_true", help="also where one learned from what is judged"
        )
        arguments = parser.parse_args(argv)
        if arguments.samples < 1 or arguments.seed < 0:
            raise BadInput("--samples: at least 1; --seed: at least 0")
        differences = compare(**vars(arguments))
        console.say(f"{arguments.run_b} minus {arguments.run_a}, 95 % interval of the pairs:")
        for name, (value, low, high) in differences.items():
            if "/auc/" not in name:
                console.say(f"  {name:28s} {value:+.3f} [{low:+.3f}, {high:+.3f}]")

    return guarded(command)


if __name__ == "__main__":
    quiet.hide_native_messages()
    sys.exit(main(sys.argv[1:]))
