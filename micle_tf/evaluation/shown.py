"""The table of metrics that a judged run ends with."""

from micle_tf import console

FEW = 10  # positives, or rows, below which a metric says little
_CLASSES_SHOWN = 30
_MEANS = ("/auc_macro", "/auc_mean", "/balanced_accuracy")  # over classes or findings


def say_result(result):
    """A table: metrics per level with intervals, and how many positives or rows are behind each.

    Of classes, the AUCs of the highest level that has any; what rests on fewer than `FEW` is
    marked.
    """
    behind = result.get("support", {})  # a run of an earlier version has none
    lines = []
    for name in _shown(result["metrics"]):
        value = shown_value(result["metrics"][name], result["intervals"].get(name))
        lines.append((name, value, _shown_support(name, behind)))
    if not lines:
        return
    widths = [max(len(line[column]) for line in lines) for column in (0, 1)]
    for name, value, count in lines:
        console.say(f"  {name:{widths[0]}s}  {value:{widths[1]}s}  {count}".rstrip())
    if any(", few" in count for *_, count in lines):
        console.say(f"  few: less than {FEW}, on which a metric says little")


def _shown(metrics):
    """The names to show, in the order of the metrics."""
    classes = [name for name in metrics if name.startswith(("case/auc/", "image/auc/"))]
    of_cases = [name for name in classes if name.startswith("case/")]
    hidden = set(classes) - set((of_cases or classes)[:_CLASSES_SHOWN])
    return [name for name in metrics if name not in hidden]


def _shown_support(name, behind):
    """ "9 cases, few", "1,200 images, few of 2 classes": what is behind a metric."""
    if name not in behind:
        return ""
    count, noun = behind[name], "case" if name.startswith("case/") else "image"
    text = console.count(count, "positive" if "auc/" in name else noun)
    if count < FEW:
        return f"{text}, few"
    if name.endswith(_MEANS):
        prefix = f"{name.rpartition('/')[0]}/auc/"
        few = sum(n < FEW for other, n in behind.items() if other.startswith(prefix))
        kinds = ("finding", "findings") if "findings/" in name else ("class", "classes")
        text += f", few of {few:,} {kinds[few > 1]}" if few else ""
    return text


def shown_value(value, interval=None):
    """ "0.812 [0.790, 0.833]"; "n/a" for what the split does not define."""
    if value is None or value != value:
        return "n/a"
    if interval is None or None in interval:
        return f"{value:.3f}"
    return f"{value:.3f} [{interval[0]:.3f}, {interval[1]:.3f}]"
