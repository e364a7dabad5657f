"""The table of metrics that a judged run ends with."""

import collections

from micle_tf import console
from micle_tf.evaluation.metric_names import parsed

FEW = 10  # positives, or rows, below which a metric says little
_CLASSES_SHOWN = 30
_OF_AUCS = ("auc_macro", "auc_mean", "balanced_accuracy")
_ALWAYS = (*_OF_AUCS, "average_precision_macro", "average_precision_mean", "ece_mean", "brier_mean")
_ASKED = ("prevalence", "specificity", "sensitivity", "threshold")


def say_result(result, columns=()):
    """A table: metrics per level with intervals, and how many positives or rows are behind each.

    Of classes, the AUCs of the highest level that has any; what rests on fewer than `FEW` is
    marked.

    Args:
      result: the content of result.json.
      columns: names of the classes or findings, where they are known.
    """
    behind = result.get("support", {})  # a run of an earlier version has none
    lines = []
    for name in main_metrics(result["metrics"], columns):
        value = shown_value(result["metrics"][name], result["intervals"].get(name))
        lines.append((name, value, _shown_support(name, behind, columns)))
    if not lines:
        return
    widths = [max(len(line[column]) for line in lines) for column in (0, 1)]
    for name, value, count in lines:
        console.say(f"  {name:{widths[0]}s}  {value:{widths[1]}s}  {count}".rstrip())
    if any(", few" in count for *_, count in lines):
        console.say(f"  few: less than {FEW}, on which a metric says little")


def main_metrics(metrics, columns=()):
    """The names to show, in the order of the metrics.

    Of what is there for each class or finding: areas under the curve, and what was asked for at an
    operating point, a prevalence or a threshold; of classes, those of the highest level that has
    any. Of the rest, what is there once or is a mean.

    Args:
      metrics: their names.
      columns: names of the classes or findings, where they are known.
    """
    names = {name: parsed(name, columns) for name in metrics}
    highest = "case" if any(one.level == "case" for one in names.values()) else "image"
    listed = collections.Counter()

    def is_main(name, one):
        if name.startswith("validation/"):
            return True
        if not one.column:
            return not one.at and (not one.is_mean or one.metric in _ALWAYS)
        if one.metric != "auc" and one.condition not in _ASKED:
            return False
        listed[one.level, one.metric, one.at] += 1
        few = listed[one.level, one.metric, one.at] <= _CLASSES_SHOWN
        return few and (one.level == highest or name.startswith("findings/auc/"))

    return [name for name, one in names.items() if is_main(name, one)]


def _shown_support(name, behind, columns):
    """ "9 cases, few", "1,200 images, few of 2 classes": what is behind a metric."""
    if name not in behind:
        return ""
    count, of = behind[name], parsed(name, columns)
    text = console.count(count, "positive" if of.counts_positives else of.level)
    if count < FEW:
        return f"{text}, few"
    if of.metric in _OF_AUCS:
        prefix = f"{name.rpartition('/')[0]}/auc/"
        few = sum(n < FEW for other, n in behind.items() if other.startswith(prefix))
        kinds = ("finding", "findings") if "findings/" in name else ("class", "classes")
        text += f", few of {few:,} {kinds[few > 1]}" if few else ""
    return text


def shown_value(value, interval=None):
    """ "0.812 [0.790, 0.833]"; "n/a" for what the split does not define.

    Ends that too few patients define are nan, or None once they are read back.
    """
    if value is None or value != value:
        return "n/a"
    if interval is None:
        return f"{value:.3f}"
    if any(end is None or end != end for end in interval):
        return f"{value:.3f} [too few for an interval]"
    return f"{value:.3f} [{interval[0]:.3f}, {interval[1]:.3f}]"
