"""--mode=evaluate: what a finished classifier says of a split, of its own or of other data."""

import dataclasses
import time

import numpy as np

from micle_tf import console
from micle_tf.data import cases
from micle_tf.data.earlier import flags_of_before, what_changed
from micle_tf.data.seen import Seen
from micle_tf.data.supervised import SELECTION_SPLIT, LabelledSplit
from micle_tf.data.targets import column_of, is_labelled
from micle_tf.dataset_names import dataset_names
from micle_tf.errors import BadInput
from micle_tf.evaluation import predictions
from micle_tf.evaluation.classifier import open_classifier
from micle_tf.evaluation.overlap import check, overlap_of
from micle_tf.evaluation.predictions_file import read_validation
from micle_tf.modes import opening
from micle_tf.run_names import same_data
from micle_tf.training import state
from micle_tf.training.inference import predict_images, traced


def evaluate(config):
    """Predicts every image of `eval_split` and, where it is labelled, judges the predictions.

    Args:
      config: `Config` with every field decided.

    Returns:
      The content of result.json.

    Raises:
      BadInput: the checkpoint is no classifier, or the data has a class that it does not know.
    """
    started = time.monotonic()
    classifier = _classifier(config)
    data = cases.open_cases(config, classifier.data, _splits_as_before(config, classifier))
    _refuse_other_reading(config, classifier, data)
    opening.say_data(data)
    targets, split = _judged(config, classifier, data)
    console.say(f"weights: {classifier.weights}")
    facts = data.facts | {
        "targets": targets.to_json(),
        "weights": state.identify_weights(classifier.checkpoint),
    }
    run = state.RunDirectory(config.model_dir, config, facts, data.superseded)
    overlap = None
    if run.status() != state.FINISHED:
        overlap = overlap_of(Seen.read(config.checkpoint), data, split.name, split.images)
        check(overlap, config.checkpoint, config.allow_seen)
    with run.claimed() as status:
        if status == state.FINISHED:
            return predictions.finished_before(run)
        console.say(f"run: {run.path}")
        probabilities = traced(classifier.probabilities)
        predict = lambda split: predict_images(
            probabilities, split.reader, config.image_size, config.eval_batch_size,
            f"predicting {split.name}",
        )  # fmt: skip
        trained = classifier.result or {"method": classifier.config.mode, "steps": 0}
        return opening.judge(
            run, config, data, targets, [split], predict(split),
            validation=_of_validation(config.checkpoint, classifier, data, predict),
            method=trained["method"], steps=trained["steps"], seconds=time.monotonic() - started,
            seen=overlap.to_json(),
        )  # fmt: skip


def _of_validation(run, classifier, data, predict):
    """Rows of the split that chose a model: as its run keeps them; of a run of before, predicted.

    Or, as text, why there are none.
    """
    kept = read_validation(run)
    if kept:
        return kept
    if data.name != classifier.data:
        return f"{run} keeps no predictions of {SELECTION_SPLIT}, and its data is not at hand"
    if SELECTION_SPLIT not in data.index:
        return f"{data.name} has no {SELECTION_SPLIT} split"
    reader = data.open(SELECTION_SPLIT)
    labels = classifier.targets.labels(data, reader.index)
    split = LabelledSplit(SELECTION_SPLIT, reader, labels, np.flatnonzero(is_labelled(labels)))
    return opening.by_level(data, split, predict(split))


def _classifier(config):
    """The `Classifier` of --checkpoint; raises BadInput if that is none, or of other findings."""
    if not config.checkpoint:
        raise BadInput("--mode=evaluate: name a linear_eval or finetune run with --checkpoint=RUN")
    classifier = open_classifier(config.checkpoint)
    if classifier.head is None:
        raise BadInput(
            f"--checkpoint={config.checkpoint}: a pretraining has no classifier; train one with "
            "--mode=finetune or --mode=linear_eval"
        )
    if config.findings and not config.manifest and classifier.targets.multilabel:
        asked = tuple(name.strip() for name in config.findings.split(","))
        if config.findings != "all" and asked != classifier.names:
            raise BadInput(
                f"--findings={config.findings}: the classifier predicts "
                f"{', '.join(classifier.names)}; leave the flag out"
            )
    return classifier


def _judged(config, classifier, data):
    """(`Targets`, `LabelledSplit`) to judge on, with what has to be said of them."""
    reader = data.open(config.eval_split, "--eval_split")
    flag = f"--manifest={config.manifest}" if config.manifest else f"--dataset={config.dataset}"
    targets = classifier.targets
    if targets.multilabel:
        targets = dataclasses.replace(
            targets, uncertain=config.uncertain, unmentioned=config.unmentioned
        )
    labels = targets.labels(data, reader.index, flag)
    if data.finding_names:
        _say_which_findings(data, targets)
    judged = data.judged_splits(config.eval_split)
    learned = set(classifier.config.train_split.split("+")) & set(judged)
    if data.name == classifier.data:
        if learned:
            console.say(f"warning: the classifier was trained on {'+'.join(sorted(learned))}")
        if SELECTION_SPLIT in judged:
            console.say(f"warning: {SELECTION_SPLIT} chose the model, which flatters it")
    images = np.flatnonzero(is_labelled(labels))
    split = LabelledSplit(config.eval_split, reader, labels, images)
    opening.check_questions(config, targets, split)
    return targets, split


def _refuse_other_reading(config, classifier, data):
    """Raises BadInput if the run was trained on these files when they were read otherwise."""
    if data.name == classifier.data or not same_data(classifier.config, config):
        return
    flags = flags_of_before(config, classifier.data)
    if flags:
        raise BadInput(
            f"--checkpoint={config.checkpoint}: was trained on {classifier.data}, and the same "
            f"files are {data.name} now: {what_changed(flags)}"
        )


def _splits_as_before(config, classifier):
    """Whether to split the data as versions before did, as when the classifier was trained."""
    if state.splits_were_made_before(config.model_dir):
        return True
    same = dataset_names(config) == dataset_names(classifier.config)
    return same and state.splits_were_made_before(classifier.run)


def _say_which_findings(data, targets):
    """Notes which findings go by another name in the data, and which it lacks."""
    column = {name: column_of(data, name) for name in targets.names}
    named = {k: data.finding_names[c] for k, c in column.items() if c is not None}
    for name, other in named.items():
        if name != other:
            console.say(f"note: {name} is {other} in {data.name}")
    lacking = [name for name, place in column.items() if place is None]
    if lacking:
        console.say(f"note: {data.name} says nothing of {', '.join(lacking)}")
