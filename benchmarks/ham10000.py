"""Random, SimCLR and MICLe on HAM10000: linear evaluation and fine-tuning, all labels and a tenth.

    python benchmarks/ham10000.py ham10000

The folder holds HAM10000_metadata.csv and the images. SimCLR pretrains for 2S steps, MICLe for S
after S steps of SimCLR: equal work. Settings are those of flags/derm_cases/ham10000. A stopped
benchmark, typed again, goes on. Prints a table, the paired differences MICLe - SimCLR, and leaves
result.json and results.png in --model_dir.
"""

import argparse
import os
import sys

import numpy as np

from micle_tf import cli, quiet
from micle_tf.evaluation.compare import compare
from micle_tf.files import write_json
from micle_tf.training import state

ARMS = {"random": "no pretraining", "simclr": "SimCLR", "micle": "SimCLR, then MICLe"}
COLORS = {"random": "#9aa0a6", "simclr": "#5b8db8", "micle": "#d1495b"}
MODES = {"linear_eval": "linear evaluation", "finetune": "fine-tuning"}
FRACTIONS = (1.0, 0.1)
METRICS = {
    "case/auc_macro": "macro AUC",
    "case/balanced_accuracy": "balanced accuracy",
    "case/top1": "top-1",
}


def main():
    """Trains, judges and compares; finished parts are taken as they are."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("folder", help="HAM10000 as its owners ship it")
    parser.add_argument("--steps", type=int, default=3500, help="S")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--model_dir", default="runs/ham10000")
    parser.add_argument("--data_dir", default="")
    arguments = parser.parse_args()
    folder, steps = arguments.model_dir, arguments.steps
    data = [
        "--dataset=derm_cases/ham10000", f"--manual_dir={arguments.folder}",
        f"--data_dir={arguments.data_dir}", f"--seed={arguments.seed}",
    ]  # fmt: skip

    stages = [
        ("simclr-half", "simclr", steps, None),
        ("micle", "micle", steps, "simclr-half"),
        ("simclr", "simclr", 2 * steps, None),
    ]
    for name, method, length, source in stages:
        settings = [f"--method={method}", f"--train_steps={length}"]
        run("pretrain", folder, name, source, data + settings)
    for mode in MODES:
        for fraction in FRACTIONS:
            for arm in ARMS:
                source = arm if arm != "random" else None
                settings = [f"--label_fraction={fraction:g}"]
                run(mode, folder, name_of(arm, mode, fraction), source, data + settings)

    results, differences = {}, {}
    for mode in MODES:
        for fraction in FRACTIONS:
            for arm in ARMS:
                name = name_of(arm, mode, fraction)
                results[name] = state.read_result(os.path.join(folder, name))
            runs = [os.path.join(folder, name_of(a, mode, fraction)) for a in ("simclr", "micle")]
            differences[f"{mode}-{fraction:g}"] = compare(*runs)
    write_json(
        os.path.join(folder, "result.json"),
        {"results": results, "micle_minus_simclr": differences},
    )
    print(table(results, differences))
    draw(results, os.path.join(folder, "results.png"))


def run(mode, folder, name, source, settings):
    """One command; ends the benchmark if it fails."""
    flags = os.path.join(cli.RECIPES, "derm_cases/ham10000", f"{mode}.flags")
    argv = [f"--mode={mode}", f"--flagfile={flags}", f"--model_dir={os.path.join(folder, name)}"]
    argv += [f"--checkpoint={os.path.join(folder, source)}"] if source else []
    code = cli.main(argv + settings)
    if code:
        sys.exit(code)


def name_of(arm, mode, fraction):
    """The run directory of one evaluation."""
    return f"{arm}-{mode}-{fraction:g}"


def table(results, differences):
    """Markdown: a row per arm, and one for the paired difference."""
    lines = [
        f"| | labels | arm | {' | '.join(METRICS.values())} |",
        f"|---|---|---|{'---|' * len(METRICS)}",
    ]
    for mode, title in MODES.items():
        for fraction in FRACTIONS:
            for arm, shown in ARMS.items():
                result = results[name_of(arm, mode, fraction)]
                cells = []
                for metric in METRICS:
                    low, high = result["intervals"][metric]
                    cells.append(f"{result['metrics'][metric]:.3f} [{low:.3f}, {high:.3f}]")
                lines.append(f"| {title} | {fraction:.0%} | {shown} | {' | '.join(cells)} |")
            cells = [
                "{:+.3f} [{:+.3f}, {:+.3f}]".format(*differences[f"{mode}-{fraction:g}"][metric])
                for metric in METRICS
            ]
            lines.append(f"| {title} | {fraction:.0%} | MICLe - SimCLR | {' | '.join(cells)} |")
    return "\n".join(lines)


def draw(results, path):
    """A panel per metric: values as points with their 95 % intervals."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, len(METRICS), figsize=(14, 4.2))
    groups = [(mode, fraction) for mode in MODES for fraction in FRACTIONS]
    labels = [f"{MODES[mode]}\n{fraction:.0%} of labels" for mode, fraction in groups]
    for axis, (metric, title) in zip(axes, METRICS.items(), strict=True):
        for number, arm in enumerate(ARMS):
            found = [results[name_of(arm, *group)] for group in groups]
            values = np.array([result["metrics"][metric] for result in found])
            ends = np.array([result["intervals"][metric] for result in found]).T
            place = np.arange(len(groups)) + 0.2 * (number - 1)
            axis.errorbar(
                place, values, abs(ends - values), fmt="o", capsize=4, color=COLORS[arm],
                label=ARMS[arm],
            )  # fmt: skip
        axis.set(title=title, xticks=range(len(groups)))
        axis.set_xticklabels(labels, fontsize=8)
        axis.grid(axis="y", color="0.9")
        axis.spines[["top", "right"]].set_visible(False)
    handles, names = axes[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="lower center", ncols=len(ARMS), frameon=False)
    figure.suptitle("HAM10000, 64 px, case level, test split, one seed; 95 % intervals")
    figure.tight_layout(rect=(0, 0.06, 1, 1))
    figure.savefig(path, dpi=90)


if __name__ == "__main__":
    quiet.hide_native_messages()
    quiet.quiet_loggers()
    main()
