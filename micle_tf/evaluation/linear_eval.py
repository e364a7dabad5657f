"""--mode=linear_eval: how good are the frozen features? A linear head trained on them tells."""

import csv
import io
import os
import time

import keras
import numpy as np

from micle_tf import console
from micle_tf.data import cases, pipeline
from micle_tf.errors import BadInput
from micle_tf.evaluation.intervals import bootstrap_intervals
from micle_tf.evaluation.linear_probe import train_linear_head
from micle_tf.evaluation.metrics import case_probabilities, classification_metrics
from micle_tf.training import state
from micle_tf.training import strategy as strategies
from micle_tf.training.normalization import batch_norm
from micle_tf.training.pretrain import build_encoder, describe_models

_SELECTION_SPLIT = "validation"


def linear_eval(config):
    """Trains and judges a linear head on frozen features.

    Features of the central view of every image are computed once and kept in the run
    directory. The head's L2 is chosen on the validation split.

    Args:
      config: `Config` with every field decided; without `checkpoint` the encoder is a
        random one, the floor to beat.

    Returns:
      The content of result.json.

    Raises:
      BadInput: the data, the labels, the checkpoint or the run directory do not fit.
    """
    # ------------------------------------------------------------ data, encoder, run directory
    strategies.set_precision(config.precision)
    data = cases.open_cases(config)
    for line in cases.describe(data):
        console.say(line)
    roles = _roles(config, data)
    keras.utils.set_random_seed(config.seed)
    encoder = build_encoder(config, batch_norm(1, config.precision))
    facts = {"data": data.name}
    if config.checkpoint:
        facts["weights"] = state.identify_weights(config.checkpoint)
        state.restore_models(config.checkpoint, encoder=encoder)
    console.say(f"model: {describe_models(config, {'encoder': encoder})}")
    if config.checkpoint:
        console.say(f"weights: {state.describe_weights(config.checkpoint)}")
    else:
        console.say(f"weights: random, seed {config.seed}")
    run = state.RunDirectory(config.model_dir, config, facts)
    if run.begin() == state.FINISHED:
        console.say(f"finished before: {run.path}")
        result = state.read_result(run.path)
        _say_result(result)
        return result
    console.say(f"run: {run.path}")

    # ------------------------------------------------------------ features
    started = time.monotonic()
    features = {
        split: cached_features(run, split, reader, encoder, config)
        for split, reader in {s: r for s, r in roles.values()}.items()
    }

    # ------------------------------------------------------------ head
    fitted = {}
    for role in ("train", "selection"):
        split, reader = roles[role]
        labelled = reader.index.class_label >= 0
        fitted[role] = features[split][labelled], reader.index.class_label[labelled]
    with console.Progress("linear head", 0, "step") as progress:
        head, chosen = train_linear_head(
            *fitted["train"], *fitted["selection"], num_classes=len(data.class_names),
            seed=config.seed, progress=progress.at,
        )  # fmt: skip
    head.save(run.file("head.keras"))
    console.say(f"head: L2 {chosen['l2']:g}, chosen on {_SELECTION_SPLIT}")

    # ------------------------------------------------------------ judge
    split, reader = roles["evaluation"]
    probabilities = np.asarray(head.predict(features[split], batch_size=4096, verbose=0))
    levels = prediction_levels(reader.index, probabilities, data.labels_shared_by_case)
    state.write_text(run.file("predictions.csv"), predictions_csv(levels, data.class_names))
    metrics, intervals = judge(levels, data.class_names, config.bootstrap_samples, config.seed)
    result = run.finish(
        mode=config.mode,
        dataset=data.name,
        method="linear" if config.checkpoint else "random",
        steps=chosen["steps"],
        seconds=time.monotonic() - started,
        metrics=metrics,
        intervals=intervals,
    )
    _say_result(result)
    return result


def _roles(config, data):
    """{"train", "selection", "evaluation": (split, reader)}, each with labels to work on."""
    if _SELECTION_SPLIT in config.train_split.split("+"):
        raise BadInput(
            f"--train_split={config.train_split}: the L2 is chosen on {_SELECTION_SPLIT}"
        )
    if set(config.eval_split.split("+")) & set(config.train_split.split("+")):
        raise BadInput(f"--eval_split={config.eval_split}: the head is trained on it")
    if not data.class_names:
        raise BadInput(f"--mode=linear_eval: {data.name} has no labels")
    roles = {
        "train": (config.train_split, data.open(config.train_split)),
        "selection": (_SELECTION_SPLIT, data.open(_SELECTION_SPLIT)),
        "evaluation": (config.eval_split, data.open(config.eval_split, "--eval_split")),
    }
    for split, reader in roles.values():
        if not (reader.index.class_label >= 0).any():
            raise BadInput(f"--mode=linear_eval: no image of {split} in {data.name} is labelled")
    if _SELECTION_SPLIT in config.eval_split.split("+"):
        console.say(f"warning: the L2 is chosen on {_SELECTION_SPLIT}, which flatters it")
    labels = [set(roles[role][1].index.class_label.tolist()) for role in ("train", "selection")]
    if not labels[0] & labels[1] - {-1}:
        raise BadInput(
            f"--mode=linear_eval: {_SELECTION_SPLIT} and {config.train_split} of {data.name} "
            "have no class in common"
        )
    return roles


def cached_features(run, split, reader, encoder, config):
    """Features [I, d] float32 of every image of a split, in the order of its index.

    Taken from the run directory if they were computed before; the run directory is
    bound to one encoder and one dataset.
    """
    path = run.file(f"features-{split}.npy")
    if os.path.exists(path):
        return np.load(path)
    dataset = pipeline.image_dataset(reader, config.eval_batch_size, config.image_size)
    parts = []
    with console.Progress(f"features of {split}", reader.index.num_images, "image") as progress:
        for images in dataset:
            parts.append(np.asarray(encoder.predict_on_batch(images), np.float32))
            progress.update(len(parts[-1]))
    features = np.concatenate(parts)
    with open(f"{path}.tmp", "wb") as file:
        np.save(file, features)
    os.replace(f"{path}.tmp", path)
    return features


def prediction_levels(index, probabilities, labels_shared_by_case):
    """The rows of predictions.csv by level.

    Args:
      index: `CaseIndex` of the split.
      probabilities: [I, K], a row per image.
      labels_shared_by_case: whether cases have labels; without, there is no case level.

    Returns:
      {"image", "case": dict of arrays with one entry per row: case_id, patient_id,
      patient (a number), image_id, label (-1 if unlabelled), probabilities}. A case's
      probabilities are the mean of its images'.
    """
    case = index.case_of_image
    levels = {
        "image": dict(
            case_id=index.case_id[case],
            patient_id=index.patient_id[case],
            patient=index.patient_number[case],
            image_id=index.image_id,
            label=index.class_label,
            probabilities=probabilities,
        )
    }
    if labels_shared_by_case:
        means, first = case_probabilities(probabilities, case)
        levels["case"] = {name: values[first] for name, values in levels["image"].items()}
        levels["case"]["image_id"] = np.full(len(first), "")
        levels["case"]["probabilities"] = means
    return levels


def predictions_csv(levels, class_names):
    """The text of predictions.csv: level, ids, label (blank if unlabelled), p_<class>, 9 digits."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    ids = ("case_id", "patient_id", "image_id")
    writer.writerow(["level", *ids, "label", *(f"p_{name}" for name in class_names)])
    for level, rows in levels.items():
        for *names, label, scores in zip(
            *(rows[name] for name in ids), rows["label"], rows["probabilities"]
        ):
            shown = class_names[label] if label >= 0 else ""
            writer.writerow([level, *names, shown, *(f"{score:.9g}" for score in scores)])
    return text.getvalue()


def judge(levels, class_names, samples, seed):
    """Metrics and 95 % intervals of all levels, patients resampled.

    Returns:
      ({"case/top1": ..., ...}, {"case/top1": [low, high], ...}).
    """
    metrics, intervals = {}, {}
    for level, rows in levels.items():
        with console.Progress(f"intervals of the {level} level", samples, "resample") as progress:
            known = rows["label"] >= 0
            arguments = rows["label"][known], rows["probabilities"][known]
            measure = lambda y_true, y_score: classification_metrics(y_true, y_score, class_names)
            found = measure(*arguments)
            ranges = bootstrap_intervals(
                measure, *arguments, rows["patient"][known], samples, seed,
                progress=progress.at,
            )  # fmt: skip
            metrics |= {f"{level}/{name}": value for name, value in found.items()}
            intervals |= {f"{level}/{name}": list(ends) for name, ends in ranges.items()}
    return metrics, intervals


def _say_result(result):
    """A small table: the main metrics per level, with their intervals."""
    for name, value in result["metrics"].items():
        if "/auc/" not in name:
            console.say(f"  {name:24s} {shown_value(value, result['intervals'][name])}")


def shown_value(value, interval):
    """ "0.812 [0.790, 0.833]"; "n/a" for what the split does not define."""
    if value is None or value != value:
        return "n/a"
    low, high = interval
    return f"{value:.3f} [{low:.3f}, {high:.3f}]"
