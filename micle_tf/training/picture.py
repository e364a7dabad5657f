"""training.png: the course of a run at a glance, redrawn while it goes."""

import os
import time

import tensorflow as tf

from micle_tf import console
from micle_tf.files import renamed_when_whole
from micle_tf.training.state import read_log

FILE = "training.png"
_EVERY = 60.0  # seconds
_WIDTH, _PANEL_HEIGHT, _DPI = 8.0, 2.1, 100
_MOST_POINTS = 2000
_MOST_METRICS = 4
# Dark and light, dashed and not: to be told apart in grey as well.
_OWN = {"color": "#1f4e79", "linewidth": 1.4}
_CHANCE = {"color": "#c2571a", "linewidth": 1.2, "linestyle": "--"}
_STYLES = ("-", "--", ":", "-.")


class Picture:
    """Draws `training.png` of a run directory from its metrics.jsonl.

    Args:
      run: `RunDirectory`.
      clock: seconds, for tests.
    """

    def __init__(self, run, clock=time.monotonic):
        self._run, self._clock, self._drawn_at = run, clock, clock()
        self._failed = False

    def logged(self, last=False):
        """Draws if a minute has gone by, or if this was the last of the run.

        What keeps it from being drawn is said once, and is no reason to end a training.
        """
        if not last and (self._clock() - self._drawn_at < _EVERY or "://" in self._run.path):
            return  # object stores get the log, and so the picture, when it is complete
        self._drawn_at = self._clock()
        try:
            draw(self._run.path)
        except Exception as error:  # whatever matplotlib, fonts or a disk may raise
            if not self._failed:
                reason = " ".join(str(error).split())[:200] or type(error).__name__
                console.say(f"note: {FILE} cannot be drawn: {reason}")
            self._failed = True


def draw(path):
    """Draws training.png of a run directory; nothing where fewer than two steps were logged."""
    lines = read_log(path)
    panels = panels_of(lines)
    if len(lines) < 2 or not panels:
        return
    # Only here, so that a matplotlib that does not load ends no run; and not pyplot, which keeps
    # figures and asks for a screen.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = -(-len(panels) // 2)
    figure = Figure(figsize=(_WIDTH, _PANEL_HEIGHT * rows + 0.4), dpi=_DPI, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, 2, squeeze=False).ravel()
    for axis, (title, curves) in zip(axes, panels.items(), strict=False):
        _panel(axis, title, curves)
    for axis in axes[len(panels) :]:
        axis.set_visible(False)
    figure.suptitle(
        f"{os.path.basename(os.path.normpath(path))}, step {lines[-1]['step']:,}", fontsize=12
    )
    place = os.path.join(path, FILE)
    with renamed_when_whole(place) as unfinished, tf.io.gfile.GFile(unfinished, "wb") as file:
        figure.savefig(file, format="png")


def panels_of(lines):
    """{title: [(label, style, steps, values)]} of what a log has, in the order of the picture.

    Args:
      lines: dicts of metrics.jsonl, with "step".
    """
    names = list(dict.fromkeys(name for line in lines for name in line))
    judged = [name for name in names if "/" in name and "/auc/" not in name]
    judged.sort(
        key=lambda name: (
            not name.endswith(("auc_macro", "auc_mean", "knn_accuracy", "loss")),
            names.index(name),
        )
    )
    accuracy = "contrastive_accuracy" if "contrastive_accuracy" in names else "accuracy"
    wanted = {
        "loss": [("loss", "loss", _OWN), ("loss_of_chance", "chance", _CHANCE)],
        "accuracy": [(accuracy, accuracy.replace("_", " "), _OWN), ("chance", "chance", _CHANCE)],
        "effective rank of the embeddings": [("effective_rank", "", _OWN)],
        "learning rate": [("learning_rate", "", _OWN)],
        "validation": [
            (
                name,
                name.partition("/")[2],
                {**_OWN, "color": color, "linestyle": style, "marker": "."},
            )
            for name, style, color in zip(
                judged[:_MOST_METRICS],
                _STYLES,
                ("#1f4e79", "#c2571a", "#444444", "#7a9a01"),
                strict=False,
            )
        ],
        "share of time waiting for images": [("input_wait", "", _OWN)],
    }
    panels = {}
    for title, curves in wanted.items():
        drawn = []
        for name, label, style in curves:
            points = [(line["step"], line[name]) for line in lines if line.get(name) is not None]
            points = points[:: max(1, len(points) // _MOST_POINTS)]
            if points:
                drawn.append((label, style, *zip(*points, strict=True)))
        if drawn:
            panels[title] = drawn
    return panels


def _panel(axis, title, curves):
    axis.set_title(title, fontsize=11, loc="left")
    for label, style, steps, values in curves:
        axis.plot(steps, values, label=label, **style)
    if any(label for label, *_ in curves):
        axis.legend(fontsize=9, frameon=False)
    if title.startswith("share"):
        axis.set_ylim(0, 1)
    axis.tick_params(labelsize=9)
    axis.grid(axis="y", color="0.9")
    axis.spines[["top", "right"]].set_visible(False)
    axis.ticklabel_format(axis="x", style="plain")
