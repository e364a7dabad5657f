"""--mode=export: a run's model for others, and the facts for its model card."""

import os

import numpy as np

from micle_tf import console
from micle_tf.data import cases, places
from micle_tf.data.earlier import flags_of_before, what_changed
from micle_tf.data.report import SEEN_OTHERWISE, is_superseded
from micle_tf.data.targets import choose_labelled, is_labelled
from micle_tf.errors import BadInput
from micle_tf.evaluation.classifier import calibrated, open_classifier, open_weights
from micle_tf.evaluation.judging import from_validation
from micle_tf.evaluation.predictions_file import read_validation
from micle_tf.evaluation.shown import main_metrics
from micle_tf.export import write_export
from micle_tf.model_card import signature_rows
from micle_tf.pretrained import is_weights
from micle_tf.starts import is_of_others
from micle_tf.training import state


def export(config):
    """Exports the model of a finished or unfinished run.

    Args:
      config: `Config` with every field decided; reads `checkpoint` (the run), `model_dir`
        (where to), `export_name`, `export_version`, and the fields that say where the run's
        data is, for the counts in the model card.

    Returns:
      The path of the SavedModel.

    Raises:
      BadInput: there is no such run, or the export has no place; see `write_export`.
      Stopped: the SavedModel, loaded back, does not give what the run's model gives.
    """
    if not config.checkpoint:
        raise BadInput("--mode=export: name a run with --checkpoint=RUN")
    if is_weights(config.checkpoint):
        if config.calibrated:
            raise BadInput(f"--calibrated: {config.checkpoint} has no classifier of ours")
        classifier = open_weights(config.checkpoint, config.image_size)
        console.say(f"weights: {classifier.weights}")
        return _exported(
            config, classifier, {"lineage": [f"weights of others: {classifier.weights}"]}
        )
    classifier = open_classifier(config.checkpoint)
    temperatures = None
    if config.calibrated:
        temperatures = _temperatures(config.checkpoint, classifier)
        classifier = calibrated(classifier, temperatures)
    console.say(f"weights: {classifier.weights}")
    _, kept = state.read_config(config.checkpoint)
    facts = {"lineage": lineage(classifier.config, kept), "temperatures": temperatures}
    if classifier.result:
        facts["shown_metrics"] = main_metrics(classifier.result["metrics"], classifier.names)
    facts |= data_facts(config, classifier)
    as_stored = facts.pop("as_stored", None)
    if as_stored is None:
        as_stored = is_superseded(config.data_dir, classifier.data)
    if as_stored:
        console.say(
            f"note: the export shows the model photos as it was trained, whatever their EXIF says, "
            f"for of {classifier.data} holds: {SEEN_OTHERWISE}"
        )
    if "splits" not in facts:
        if flags := flags_of_before(config, classifier.data):
            raise BadInput(
                f"--checkpoint={config.checkpoint}: was trained on {classifier.data}, of whose "
                f"files other data is made now: {what_changed(flags)}"
            )
        console.say(f"note: {classifier.data} is not at hand; the model card goes without counts")
    return _exported(config, classifier, facts, as_stored)


def _temperatures(run, classifier):
    """The temperature of classes, or those of findings, that a run's validation gives; said."""
    if classifier.head is None:
        raise BadInput(f"--calibrated: {run} is a pretraining, which has no probabilities")
    rows = read_validation(run)
    fixed = from_validation(rows, classifier.names, classifier.multilabel) if rows else None
    if fixed is None:
        raise BadInput(
            f"--calibrated: {run} keeps no predictions of validation, which give the temperature; "
            "it was trained by an earlier version, or is not finished"
        )
    shown = ", ".join(f"{one:.3g}" for one in fixed.temperature)
    console.say(f"temperature: {shown}, from validation")
    return fixed.temperature


def _exported(config, classifier, facts, as_stored=False):
    """Writes an export, and says what it is; returns the path of the SavedModel."""
    exported = write_export(
        classifier, config.model_dir, config.export_name, config.export_version, facts,
        max_pixels=config.max_pixels, as_stored=as_stored,
    )  # fmt: skip
    console.say(f"SavedModel: {exported.saved_model} (loaded back: same outputs)")
    for name, inputs, outputs in signature_rows(classifier):
        console.say(f"  {name:16s} {inputs} -> {outputs}")
    console.say(f"encoder: {exported.encoder}")
    console.say(f"model card: {exported.model_card}")
    return exported.saved_model


def lineage(config, facts=None):
    """How the weights of a run came about: ["random weights", "pretrain (micle)", "finetune"].

    Args:
      config, facts: of the run, as in its config.json.

    Follows `checkpoint` from run to run, as far as the run directories are still there.
    """
    steps = []
    while len(steps) < 100:  # directories that name each other
        steps.append(
            f"{config.mode} ({config.method})" if config.mode == "pretrain" else config.mode
        )
        if not config.checkpoint:
            return ["random weights", *reversed(steps)]
        if is_of_others((facts or {}).get("weights")):
            return [f"weights of others: {facts['weights']}", *reversed(steps)]
        try:
            config, facts = state.read_config(config.checkpoint)
        except BadInput:
            break
    return ["weights of an earlier run", *reversed(steps)]


def data_facts(config, classifier):
    """Counts of the data that a run was trained on; {} if that is not there any more.

    Returns:
      {"splits": {split: {"patients" (None if not known), "cases", "images", "labelled"}},
      "labels": {name: count}, "as_stored": whether its photos are not turned upright}: the
      training images of each class, or with each finding, that the head learnt from; without a
      head there are no "labels".
    """
    if not os.path.isdir(os.path.join(places.root(config.data_dir), classifier.data)):
        return {}
    try:
        data = cases.open_cases(
            config.replace(mode=classifier.config.mode),
            classifier.data,
            state.splits_were_made_before(config.checkpoint),
        )
        if data.name != classifier.data:
            return {}
        facts = {"splits": {split: _counts(index) for split, index in data.index.items()}}
        facts["as_stored"] = data.seen_otherwise
        if classifier.head is not None:
            facts["labels"] = _label_counts(classifier, data)
        return facts
    except BadInput:
        return {}


def _counts(index):
    labels = index.findings if index.findings.size else index.class_label
    return {
        "patients": index.num_patients or None,
        "cases": index.num_cases,
        "images": index.num_images,
        "labelled": int(is_labelled(labels).sum()),
    }


def _label_counts(classifier, data):
    run, targets = classifier.config, classifier.targets
    index = data.open(run.train_split).index
    labels = targets.labels(data, index)
    used = labels[choose_labelled(labels, index, run.label_fraction, run.seed)]
    if targets.multilabel:
        counts = (used == 1).sum(axis=0)
    else:
        counts = np.bincount(used, minlength=len(targets.names))
    return dict(zip(targets.names, counts.tolist(), strict=True))
