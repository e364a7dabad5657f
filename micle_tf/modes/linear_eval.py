"""--mode=linear_eval: how good are the frozen features? A linear head trained on them tells."""

import functools
import time

import keras
import numpy as np

from micle_tf import console
from micle_tf.config import Encoder
from micle_tf.data.seen import keep
from micle_tf.data.supervised import SELECTION_SPLIT
from micle_tf.evaluation import predictions
from micle_tf.evaluation.features import cached_features
from micle_tf.evaluation.linear_probe import train_linear_head
from micle_tf.files import renamed_when_whole
from micle_tf.models import factory
from micle_tf.modes import opening
from micle_tf.training import state
from micle_tf.training.checkpoints import Checkpoints
from micle_tf.training.inference import traced
from micle_tf.training.normalization import batch_norm


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
    opening.set_arithmetic(config)
    data = opening.open_data(config)
    opening.say_data(data)
    targets, splits = opening.labelled_data(config, data)
    keras.utils.set_random_seed(config.seed)
    norm = batch_norm(1, config.precision)
    encoder = factory.build_encoder(config.part(Encoder), config.image_size, norm)
    facts = data.facts | {"targets": targets.to_json()}
    opening.say_models(config, {"encoder": encoder})
    kept = opening.kept_weights(config)
    if kept:  # wherever they came from
        state.restore_models(config.model_dir, encoder=encoder)
        facts["weights"] = kept
    elif config.checkpoint:
        facts["weights"] = opening.take_weights(config, {"encoder": encoder})
    else:
        console.say(f"weights: random, seed {config.seed}")
    run = state.RunDirectory(config.model_dir, config, facts, data.superseded)
    seen, overlap = None, None
    if run.status() != state.FINISHED:
        seen, overlap = opening.seen_before(config, data, splits)
    with run.claimed() as status:
        if status == state.FINISHED:
            return predictions.finished_before(run)
        console.say(f"run: {run.path}")
        keep(run, seen)
        # The encoder, so that the run is whole whatever becomes of where it came from.
        checkpoints_of = functools.partial(
            Checkpoints, run.file("checkpoints"), keep=1, where=f"--model_dir={run.path}"
        )
        if not kept:
            checkpoints_of(tracked={"encoder": encoder}).save(0)

        # ------------------------------------------------------------ features
        started = time.monotonic()
        # Of some sets --eval_split=validation means another split than the one that chooses.
        names = {"evaluation": "+".join(data.judged_splits(config.eval_split))}
        forward = traced(lambda images: encoder(images, training=False))
        features = {
            role: cached_features(
                run, split, forward, config.image_size, config.eval_batch_size, names.get(role, "")
            )
            for role, split in splits.items()
        }

        # ------------------------------------------------------------ head
        fitted = []
        for role in ("train", "selection"):
            images = splits[role].images
            fitted += [features[role][images], splits[role].labels[images]]
        with console.Progress("linear head", 0, "step") as progress:
            head, chosen = train_linear_head(
                *fitted, num_classes=len(targets.names), seed=config.seed, progress=progress.at
            )
        with renamed_when_whole(run.file("head.keras")) as unfinished:
            head.save(unfinished)
        checkpoints_of(tracked={"encoder": encoder, "classifier": head}).save(chosen["steps"])
        console.say(f"head: L2 {chosen['l2']:g}, chosen on {SELECTION_SPLIT}")

        # ------------------------------------------------------------ judge
        probabilities = lambda role: np.asarray(
            head.predict(features[role], batch_size=4096, verbose=0)
        )
        return opening.judge(
            run, config, data, targets, splits.values(), probabilities("evaluation"),
            validation=opening.by_level(data, splits["selection"], probabilities("selection")),
            method="linear" if config.checkpoint else "random",
            steps=chosen["steps"], seconds=time.monotonic() - started,
            metrics={"validation/loss": chosen["validation_loss"]}, seen=overlap.to_json(),
        )  # fmt: skip
