"""The story in one command: SimCLR against MICLe at equal work, on synthetic cases.

    python -m micle_tf.demo --seed=0

Three encoders get a linear head each: a random one (the floor), SimCLR after 2S
steps, and MICLe: SimCLR for S steps, then MICLe for S. `--control=shuffled` deals the
photos to random cases before MICLe pairs them, and its gain is gone;
`--control=same_photo` takes away what differs between the photos of a case, and
nothing is left for MICLe to gain.
"""

import os
import shutil
import sys
import time

import numpy as np

from micle_tf import cli, console, quiet
from micle_tf.config import Config
from micle_tf.errors import BadInput
from micle_tf.evaluation.shown import shown_value
from micle_tf.exits import ArgumentParser, guarded
from micle_tf.program import typed

ARMS = ("random", "simclr", "micle")
# S: long enough for the effect, short enough for ten minutes on two cores.
STEPS = 700
PRETRAINING_DATA = {
    "none": "derm_cases/synthetic",
    "shuffled": "derm_cases/synthetic_shuffled",
    "same_photo": "derm_cases/synthetic_same_photo",
}
_EMBEDDED_CASES = 600
_MARK = "DEMO.txt"


def main(argv):
    """Runs the demo; returns the exit code."""

    def command():
        parser = ArgumentParser(
            prog="python -m micle_tf.demo", description=__doc__.split("\n\n")[0]
        )
        parser.add_argument("--seed", type=int, default=0, help="of weights, order, augmentation")
        parser.add_argument("--control", choices=PRETRAINING_DATA, default="none")
        parser.add_argument("--steps", type=int, default=STEPS, help=f"S; default {STEPS}")
        path = os.path.expanduser
        parser.add_argument(
            "--model_dir", type=path, default="runs/demo", help="an earlier demo is replaced"
        )
        parser.add_argument("--data_dir", type=path, default="", help="where prepared data is kept")
        arguments = parser.parse_args(argv)
        quiet.quiet_loggers()
        demo(**vars(arguments))

    return guarded(command)


def demo(seed=0, control="none", steps=STEPS, model_dir="runs/demo", data_dir=""):
    """Trains and judges the three arms.

    Args:
      seed: of weights, order and augmentation, the same for all arms.
      control: "none", "shuffled" or "same_photo".
      steps: S, at least 1.
      model_dir: the runs of the arms lie inside it; an earlier demo there is replaced.
      data_dir: where prepared data is kept; empty: tfds's own folder.

    Returns:
      The content of result.json: metrics named `micle/case/top1` and the like.

    Raises:
      BadInput: a value out of range, or model_dir holds something else; nothing is
        touched then.
    """
    from micle_tf.files import write_json
    from micle_tf.modes.linear_eval import linear_eval
    from micle_tf.modes.pretrain import pretrain

    started = time.monotonic()
    if steps < 1:
        raise BadInput(f"--steps={steps}: must be at least 1")
    Config(seed=seed)
    _make_room(model_dir)
    run = lambda name: os.path.join(model_dir, name)
    common = [f"--seed={seed}", f"--data_dir={data_dir}"]
    data = [f"--dataset={PRETRAINING_DATA[control]}"]
    judged = ["--dataset=derm_cases/synthetic"] if control == "shuffled" else data
    stages = [
        ("SimCLR, 2S steps", "simclr", 2 * steps, None, "simclr"),
        ("SimCLR, S steps", "simclr", steps, None, "simclr-half"),
        ("MICLe from there, S steps", "micle", steps, "simclr-half", "micle"),
    ]
    for number, (title, method, length, source, name) in enumerate(stages, 1):
        console.say(f"\n[{number}/6] {title} (S = {steps})")
        recipe = cli.RECIPES / "derm_cases/synthetic/pretrain.flags"
        arguments = ["--mode=pretrain", f"--method={method}", f"--train_steps={length}"]
        arguments += [f"--flagfile={recipe}", f"--model_dir={run(name)}"]
        arguments += [f"--checkpoint={run(source)}"] if source else []
        config, _ = cli.configure(arguments + common + data)
        pretrain(config)
    metrics, intervals = {}, {}
    for number, arm in enumerate(ARMS, 4):
        console.say(f"\n[{number}/6] linear evaluation: {arm}")
        source = [f"--checkpoint={run(arm)}"] if arm != "random" else []
        recipe = cli.RECIPES / "derm_cases/synthetic/linear_eval.flags"
        arguments = ["--mode=linear_eval", f"--model_dir={run(f'{arm}-linear_eval')}"]
        arguments += [f"--flagfile={recipe}"]
        config, _ = cli.configure(arguments + source + common + judged)
        result = linear_eval(config)
        metrics |= {f"{arm}/{name}": value for name, value in result["metrics"].items()}
        intervals |= {f"{arm}/{name}": ends for name, ends in result["intervals"].items()}

    result = dict(
        mode="demo", dataset=PRETRAINING_DATA[control], method="linear", steps=2 * steps,
        seconds=round(time.monotonic() - started, 1), metrics=metrics, intervals=intervals,
    )  # fmt: skip
    write_json(run("result.json"), result)
    draw(model_dir, result, config)
    console.say(
        f"\nSynthetic cases, seed {seed}: linear evaluation of a case (mean over its photos)\n"
        f"{table(result)}\n\n{console.duration(result['seconds'])}; picture: "
        f"{run('demo.png')}, figures: {run('result.json')}\n"
        f"next: {typed('--mode=pretrain', '--dataset=derm_cases/manifest', '--manifest=cases.csv')}"
    )
    return result


def _make_room(model_dir):
    """Removes an earlier demo, finished or not, and nothing else; leaves a mark of this one."""
    mark = os.path.join(model_dir, _MARK)
    if os.path.exists(model_dir):
        if not os.path.isdir(model_dir) or (os.listdir(model_dir) and not os.path.exists(mark)):
            raise BadInput(f"--model_dir={model_dir}: is there, and is no demo")
        shutil.rmtree(model_dir)
    os.makedirs(model_dir)
    with open(mark, "w", encoding="utf-8") as file:
        file.write("Made by the demo, and replaced by the next one.\n")


def table(result):
    """The three arms as lines of text, with their 95 % intervals."""
    names = ("case/top1", "case/balanced_accuracy", "case/auc_macro")
    lines = [f"{'':8s}" + "".join(f"{name:>26s}" for name in names)]
    for arm in ARMS:
        cells = []
        for name in names:
            value, ends = (result[kind][f"{arm}/{name}"] for kind in ("metrics", "intervals"))
            cells.append(shown_value(value, ends))
        lines.append(f"{arm:8s}" + "".join(f"{cell:>26s}" for cell in cells))
    return "\n".join(lines)


def draw(model_dir, result, config):
    """demo.png: top-1 with intervals, and the three embeddings of the same cases in 2-D."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    from sklearn.manifold import TSNE

    from micle_tf.data import cases

    data = cases.open_cases(config)
    index = data.open(config.eval_split).index
    case_of_image, first = index.case_of_image, index.first_image[:-1]
    labels = index.class_label[first]
    shown = np.flatnonzero(labels >= 0)[:_EMBEDDED_CASES]
    titles = dict(random="Random encoder", simclr="SimCLR", micle="SimCLR, then MICLe")
    colors = dict(random="#9aa0a6", simclr="#5b8db8", micle="#d1495b")

    figure, axes = plt.subplots(1, 4, figsize=(17, 4.6), width_ratios=[1.1, 1, 1, 1])
    top1 = [result["metrics"][f"{arm}/case/top1"] for arm in ARMS]
    ends = [result["intervals"][f"{arm}/case/top1"] for arm in ARMS]
    errors = np.abs(np.transpose(ends) - top1)
    bars = axes[0].bar(ARMS, top1, yerr=errors, capsize=6, color=[colors[arm] for arm in ARMS])
    axes[0].bar_label(bars, [f"{value:.1%}" for value in top1], label_type="center", color="white")
    axes[0].set(ylim=(0, 1), title="Linear evaluation, case-level top-1")
    axes[0].spines[["top", "right"]].set_visible(False)
    for axis, arm in zip(axes[1:], ARMS, strict=True):
        features = np.load(os.path.join(model_dir, f"{arm}-linear_eval", "features-test.npy"))
        means = np.add.reduceat(features, first) / np.bincount(case_of_image)[:, None]
        standard = (means - means.mean(0)) / (means.std(0) + 1e-6)
        points = TSNE(random_state=0, init="pca", max_iter=500).fit_transform(standard[shown])
        for number, name in enumerate(data.class_names):
            of_class = labels[shown] == number
            axis.scatter(*points[of_class].T, s=9, color=f"C{number % 10}", label=name)
        axis.set(xticks=[], yticks=[], title=f"{titles[arm]}: test cases, t-SNE")
    axes[-1].legend(loc="center left", bbox_to_anchor=(1.02, 0.5), frameon=False, fontsize=9)
    figure.suptitle("Synthetic cases: pretraining at equal work, bars with 95 % intervals")
    figure.tight_layout()
    figure.savefig(os.path.join(model_dir, "demo.png"), dpi=110)
    plt.close(figure)


if __name__ == "__main__":
    quiet.hide_native_messages()
    sys.exit(main(sys.argv[1:]))
