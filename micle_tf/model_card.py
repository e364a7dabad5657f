"""The model card of an export: what it is, what it was trained on, how good it is.

The sections follow Mitchell et al., 2019, "Model Cards for Model Reporting".
"""

import dataclasses
import math
import re

import keras
import tensorflow as tf

from micle_tf import __version__
from micle_tf.config import Config
from micle_tf.settings import Tag, tagged


def model_card(classifier, facts, name="model", version=1):
    """Writes the model card of a run.

    No path of the machine, no patient and no case is in it.

    Args:
      classifier: `Classifier`.
      facts: what else is known, all of it optional. "splits": {split: {"patients" (None if
        not known), "cases", "images", "labelled"}}; "labels": {name: number of training
        images that the head learnt it from}; "lineage": how the weights came about, a list;
        "max_pixels", "as_stored": see `export.write_export`; "shown_metrics": names of those
        to show, else all; "temperatures": what the probabilities were scaled by, None for nothing.
      name, version: of the export.

    Returns:
      Markdown.
    """
    sections = [
        f"# {_cell(name)}, version {version}",
        _summary(classifier),
        "## What it is\n\n" + _table(("", ""), _architecture(classifier, facts)),
        f"## Intended use\n\n{_intended_use(classifier)}",
        f"## Training data\n\n{_data(classifier, facts)}",
    ]
    if classifier.head is not None:
        sections.append(f"## What it predicts\n\n{_labels(classifier, facts.get('labels', {}))}")
    sections += [
        f"## How good it is\n\n{_metrics(classifier, facts)}",
        f"## Input\n\n{_preprocessing(classifier, facts)}",
        "## Signatures\n\n" + _table(("signature", "input", "output"), _signatures(classifier)),
        *([f"## Settings\n\n{_settings(classifier.config)}"] if classifier.data else []),
        f"## Limitations\n\n{_limitations(classifier, facts)}",
    ]
    return "\n\n".join(sections) + "\n"


def signature_rows(classifier):
    """(name, input, output) of every signature, as text with dtypes and shapes.

    n images of any size, K classes or findings, features of width d.
    """
    width, size = classifier.encoder.output_shape[-1], len(classifier.names)
    features = lambda rows: f"features float32 [{rows}, {width}]"
    if classifier.head is None:
        outputs = features
    else:
        outputs = lambda rows: (
            f"probabilities float32 [{rows}, {size}], class_names string [{rows}, {size}]"
        )
    content = "image_bytes string [n], JPEG or PNG"
    return [
        ("serving_default", content, outputs("n")),
        ("images", "images float32 [n, h, w, 3] in [0, 1]", outputs("n")),
        ("images_uint8", "images uint8 [n, h, w, 3]", outputs("n")),
        ("embed", content, features("n")),
        ("case", f"{content}: the photos of one case", outputs(1)),
    ]


def _summary(classifier):
    if classifier.head is None:
        what = "An encoder that turns an image into features; it predicts nothing by itself."
    elif classifier.multilabel:
        what = "Gives each image, and each case, a probability for every finding."
    else:
        what = "Gives each image, and each case, a probability for every class."
    return f"{what}\n\n**Research software, not a medical device.**"


def _architecture(classifier, facts):
    config, encoder, head = classifier.config, classifier.encoder, classifier.head
    kind = f"ResNet-{config.resnet_depth}, width {config.width_multiplier:g}"
    if config.sk_ratio:
        kind += f", selective kernels {config.sk_ratio:g}"
    if config.se_ratio:
        kind += f", squeeze-and-excitation {config.se_ratio:g}"
    own = f"{config.mode} ({config.method})" if config.mode == "pretrain" else config.mode
    made_with = f"micle-tf {__version__}, TensorFlow {tf.__version__}, Keras {keras.__version__}"
    steps = re.findall(r"step \d+(?:,\d{3})*", classifier.weights)  # not the path before it
    steps = steps if classifier.data else [classifier.weights]
    rows = [
        ("encoder", kind),
        ("input", f"{config.image_size} x {config.image_size} pixels, RGB"),
        ("features", f"{encoder.output_shape[-1]:,}"),
        ("parameters", f"{encoder.count_params():,}"),
    ]
    if head is not None:
        rows.append(
            ("head", f"{head.count_params():,} parameters, {len(classifier.names)} outputs")
        )
    return rows + [
        ("trained by", " → ".join(facts.get("lineage", [own]))),
        ("weights", (steps[-1] if steps else "as the run left them") + _unfinished(classifier)),
        ("arithmetic", config.precision),
        ("made with", made_with),
    ]


def _unfinished(classifier):
    return "" if classifier.result or not classifier.data else ", of a run that was not finished"


def _intended_use(classifier):
    if classifier.head is None:
        use = "Research: features for a classifier of one's own, similarity search, fine-tuning."
    else:
        use = "Research on images like those it was trained on, and fine-tuning on other ones."
    return (
        f"{use}\n\nNot for diagnosis, triage, treatment or any other decision about a person. It "
        "is research software, not a medical device, and no authority has cleared it."
    )


def _data(classifier, facts):
    if not classifier.data:
        return "Weights of others; what they learned from is for their owners to say."
    split = _cell(classifier.config.train_split)
    text = f"`{_cell(classifier.data)}`, trained on the split `{split}`."
    if not facts.get("splits"):
        return f"{text} The data was not at hand at the export, so counts are left out."
    header = ("split", "patients", "cases", "images", "labelled images")
    rows = [
        (split, *("not known" if counts[key] is None else f"{counts[key]:,}"
                  for key in ("patients", "cases", "images", "labelled")))
        for split, counts in facts["splits"].items()
    ]  # fmt: skip
    return f"{text}\n\n{_table(header, rows)}"


def _labels(classifier, counts):
    if classifier.multilabel:
        taken = {"ignore": "left out", "zeros": "absent", "ones": "present"}
        text = (
            "Findings, each with a probability of its own (sigmoid); any number may be present. "
            f"What was uncertain counted as {taken[classifier.config.uncertain]}, what was not "
            f"mentioned as {taken[classifier.config.unmentioned]}, in training and in the metrics."
        )
        header = ("finding", "training images with it")
    else:
        text = "One class per image: the probabilities of an image add up to 1 (softmax)."
        header = ("class", "labelled training images")
    rows = [(name, f"{counts[name]:,}" if name in counts else "n/a") for name in classifier.names]
    return f"{text}\n\n{_table(header, rows)}"


def _metrics(classifier, facts):
    config, result = classifier.config, classifier.result
    if not result:
        what = "The run was not finished: nothing" if classifier.data else "Nothing"
        return f"{what} was measured."
    if not result.get("metrics"):
        return "The run left no metrics."
    text = "Values of the end of the pretraining run."
    if config.mode != "pretrain":
        dataset = f" of `{_cell(result['dataset'])}`" if result.get("dataset") else ""
        text = (
            f"Measured on the split `{_cell(config.eval_split)}`{dataset}. "
            "Losses apart, fractions between 0 and 1; `validation/` marks what was measured on the "
            "validation split. 95 % intervals from "
            f"{config.bootstrap_samples:,} bootstrap samples of patients (of cases, where the "
            "patient is not known)."
        )
    intervals = result.get("intervals") or {}
    shown = facts.get("shown_metrics", result["metrics"])
    rows = [
        (name, _number(value), _interval(intervals.get(name)))
        for name, value in result["metrics"].items()
        if name in shown
    ]
    table = _table(("metric", "value", "95 % interval"), rows)
    return "\n\n".join(filter(None, (text, table, _seen(result.get("seen")))))


def _seen(seen):
    """What the model had seen of the images that it was judged on."""
    if not seen:  # a pretraining, or a run of an earlier version
        return ""
    ways = {
        "learned": "learned from, labels and all",
        "chosen_on": "used to choose the model",
        "unlabelled": "seen in pretraining, without labels",
        "same_ids": "of patients or cases with ids that were seen in other data",
    }
    total = seen["judged"]["images"]
    shares = [
        f"{seen[way]['images']:,} were {text}" for way, text in ways.items() if seen[way]["images"]
    ]
    if not shares:
        shares = ["none were seen before, by picture or by patient"]
    text = f"Of the {total:,} images behind these values {', '.join(shares)}."
    unchecked = " Not all could be checked." if "cannot_be_checked" in seen else ""
    return text + unchecked


def _number(value):
    return "n/a" if value is None or math.isnan(value) else f"{value:.3f}"


def _interval(ends):
    return "n/a" if ends is None or None in ends else f"{ends[0]:.3f} to {ends[1]:.3f}"


def _preprocessing(classifier, facts):
    size = classifier.config.image_size
    crop = "the whole image is" if size <= 32 else (
        "the central square with 7/8 of the shorter side is cut out and"
    )  # fmt: skip
    text = (
        f"All of it is inside the SavedModel, and images may be of any size: {crop} resized to "
        f"{size} x {size} pixels (bicubic, without antialiasing) and scaled to [0, 1]. Grey images "
        "become RGB, an alpha channel is dropped. "
        + (
            "Photos are shown as they are stored, whatever their EXIF orientation says, "
            "as in training. "
            if facts.get("as_stored")
            else "Photos are turned as their EXIF orientation says. "
        )
        + "JPEG and PNG of 8 bits are answered, anything else is refused"
        + (
            f", and so is a request with more than {facts['max_pixels']:,} pixels "
            "in all (`max_pixels`). "
            if "max_pixels" in facts
            else ". "
        )
        + "The `.keras` file has no preprocessing: it takes "
        f"float images [n, {size}, {size}, 3] in [0, 1]."
    )
    dtype = classifier.encoder.outputs[0].dtype
    if dtype != "float32":
        text += (
            f" Its features are {dtype}, as the run computed them; the SavedModel's are float32."
        )
    return text


def _signatures(classifier):
    return [(f"`{name}`", inputs, outputs) for name, inputs, outputs in signature_rows(classifier)]


def _settings(config):
    usual = Config.of_mode(config.mode)
    places = tagged(config, Tag.DATA_PLACE | Tag.RUN_PLACE)
    rows = [
        (f"`{field.name}`", getattr(config, field.name), getattr(usual, field.name))
        for field in dataclasses.fields(config)
        if field.name not in places and getattr(config, field.name) != getattr(usual, field.name)
    ]
    if not rows:
        return f"The defaults of `{config.mode}`."
    return f"Of `{config.mode}`, where they are not the defaults:\n\n" + _table(
        ("setting", "value", "default"), rows
    )


def _limitations(classifier, facts):
    points = [
        "How it does on images from other devices, places and populations is not known: measure "
        "it.",
        "Whether it does equally well for all ages, sexes and skin types was not measured.",
        "Every image gets an answer, also one that is nothing like the training data.",
    ]
    if classifier.head is not None and facts.get("temperatures") is not None:
        found = ", ".join(f"{temperature:.3g}" for temperature in facts["temperatures"])
        points.append(
            f"The probabilities are scaled by the temperature that validation gave ({found}); "
            "metrics under `calibrated/` are theirs. On other data they may not hold."
        )
    elif classifier.head is not None:
        points.append(
            "The probabilities are not calibrated: 0.9 does not mean right in nine of ten cases."
        )
    points.append(
        "These files hold weights, names of classes and settings: no images and no patient "
        "identifiers. Whether training images could be recovered from the weights was not studied."
    )
    return "\n".join(f"- {point}" for point in points)


def _table(header, rows):
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(_cell(value) for value in line)} |" for line in lines)


def _cell(value):
    """Text that cannot break out of its place in a table."""
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")
