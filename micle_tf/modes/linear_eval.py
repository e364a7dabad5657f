"""--mode=linear_eval: how good are the frozen features? A linear head trained on them tells."""

import contextlib
import time

import keras
import numpy as np
import tensorflow as tf

from micle_tf import console
from micle_tf.data import cases
from micle_tf.data.seen import keep
from micle_tf.data.supervised import SELECTION_SPLIT, labelled_splits
from micle_tf.data.targets import Targets
from micle_tf.evaluation import predictions
from micle_tf.evaluation.linear_probe import train_linear_head
from micle_tf.evaluation.overlap import seen_before
from micle_tf.files import renamed_when_whole
from micle_tf.training import state
from micle_tf.training import strategy as strategies
from micle_tf.training.checkpoints import Checkpoints
from micle_tf.training.inference import predict_images, traced
from micle_tf.training.normalization import batch_norm
from micle_tf.training.pretrain import build_encoder, describe_models


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
    strategies.check_kernels(config)
    strategies.set_precision(config.precision)
    data = cases.open_cases(
        config, splits_as_before=state.splits_were_made_before(config.model_dir)
    )
    for line in cases.describe(data):
        console.say(line)
    targets = Targets.of_config(config, data)
    splits = labelled_splits(config, data, targets)
    keras.utils.set_random_seed(config.seed)
    encoder = build_encoder(config, batch_norm(1, config.precision))
    facts = data.facts | {"targets": targets.to_json()}
    if config.checkpoint:
        weights = state.restore_models(config.checkpoint, encoder=encoder)
        facts["weights"] = state.identify_weights(weights)
    console.say(f"model: {describe_models(config, {'encoder': encoder})}")
    if config.checkpoint:
        console.say(f"weights: {state.describe_weights(config.checkpoint, weights)}")
    else:
        console.say(f"weights: random, seed {config.seed}")
    run = state.RunDirectory(config.model_dir, config, facts, data.superseded)
    seen, overlap = None, None
    if run.status() != state.FINISHED:
        seen, overlap = seen_before(config, data, splits)
    with run.claimed() as status:
        if status == state.FINISHED:
            return predictions.finished_before(run)
        console.say(f"run: {run.path}")
        keep(run, seen)

        # ------------------------------------------------------------ features
        started = time.monotonic()
        features = {
            split.name: cached_features(run, split, encoder, config) for split in splits.values()
        }

        # ------------------------------------------------------------ head
        fitted = []
        for split in (splits["train"], splits["selection"]):
            fitted += [features[split.name][split.images], split.labels[split.images]]
        with console.Progress("linear head", 0, "step") as progress:
            head, chosen = train_linear_head(
                *fitted, num_classes=len(targets.names), seed=config.seed, progress=progress.at
            )
        with renamed_when_whole(run.file("head.keras")) as unfinished:
            head.save(unfinished)
        # The encoder too, so that the run is whole whatever becomes of where it came from.
        tracked = {"encoder": encoder, "classifier": head}
        checkpoints = Checkpoints(run.file("checkpoints"), tracked, 1, f"--model_dir={run.path}")
        checkpoints.save(chosen["steps"])
        console.say(f"head: L2 {chosen['l2']:g}, chosen on {SELECTION_SPLIT}")

        # ------------------------------------------------------------ judge
        split = splits["evaluation"]
        scores = np.asarray(head.predict(features[split.name], batch_size=4096, verbose=0))
        predicted = predictions.by_level(
            split.reader.index, split.labels, scores, data.labels_shared_by_case
        )
        return predictions.finish(
            run, config, data, targets, predicted,
            method="linear" if config.checkpoint else "random",
            steps=chosen["steps"], seconds=time.monotonic() - started,
            metrics={"validation/loss": chosen["validation_loss"]}, seen=overlap.to_json(),
        )  # fmt: skip


def cached_features(run, split, encoder, config):
    """Features [I, d] float32 of every image of a split, in the order of its index.

    Taken from the run directory if they were computed before; the run directory is
    bound to one encoder and one dataset.
    """
    path = run.file(f"features-{split.name}.npy")
    if tf.io.gfile.exists(path):
        # A damaged file is made again.
        with contextlib.suppress(ValueError, EOFError), tf.io.gfile.GFile(path, "rb") as file:
            features = np.load(file)
            if len(features) == split.reader.index.num_images:
                return features
    forward = traced(lambda images: encoder(images, training=False))
    features = predict_images(forward, split.reader, config, f"features of {split.name}")
    with renamed_when_whole(path) as unfinished, tf.io.gfile.GFile(unfinished, "wb") as file:
        np.save(file, features)
    return features
