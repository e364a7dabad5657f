"""A trained classifier, put together again from its run directory."""

import dataclasses
import os

import keras

from micle_tf import pretrained
from micle_tf.config import Config, Encoder, ProjectionHead
from micle_tf.config.modes import MODEL
from micle_tf.data.targets import Targets
from micle_tf.errors import BadInput
from micle_tf.evaluation.linear_probe import linear_head
from micle_tf.models import factory
from micle_tf.training import state
from micle_tf.training import strategy as strategies


@dataclasses.dataclass(frozen=True)
class Classifier:
    """A run's model, ready to predict.

    Attributes:
      run: its run directory.
      config: `Config` of the run, for modes and the model card.
      weights: one line on which weights these are.
      checkpoint: the path prefix of the checkpoint that they are from.
      encoder: images [n, s, s, 3] in [0, 1] -> features [n, d]; Keras's own batch norm.
      head: features -> probabilities [n, K]; None for a pretraining.
      targets: `Targets`; None for a pretraining.
      result: content of the run's result.json; None if it is not finished.
      data: name of the prepared dataset that it was trained on; "" for weights of others.
    """

    run: str
    config: Config
    weights: str
    checkpoint: str
    encoder: keras.Model
    head: keras.Model | None
    targets: Targets | None
    result: dict | None
    data: str

    @property
    def names(self):
        """The K classes or findings; () without a head."""
        return self.targets.names if self.targets else ()

    @property
    def image_size(self):
        """Side of the images that it takes, in pixels."""
        return self.config.image_size

    @property
    def precision(self):
        """The arithmetic that it was trained in."""
        return self.config.precision

    @property
    def multilabel(self):
        """Whether the K outputs are findings."""
        return bool(self.targets and self.targets.multilabel)

    def probabilities(self, images):
        """[n, s, s, 3] in [0, 1] -> [n, K]."""
        return self.head(self.encoder(images, training=False), training=False)


def open_classifier(run):
    """Builds the model of a run of mode pretrain, linear_eval or finetune, with its weights.

    Sets Keras's arithmetic to the run's.

    Raises:
      BadInput: no such run, one without a model, or one whose weights do not fit.
    """
    config, facts = state.read_config(run)
    if config.mode not in MODEL:
        raise BadInput(f"--checkpoint={run}: a run of --mode={config.mode} holds no model")
    strategies.set_precision(config.precision)
    targets = None
    if config.mode != "pretrain":
        try:
            targets = Targets(**facts["targets"])
        except (KeyError, TypeError):
            raise BadInput(f"--checkpoint={run}: its config.json is damaged (targets)") from None
    shape, size, head = config.part(Encoder), config.image_size, None
    if config.mode == "finetune":
        models = factory.classifier_models(
            shape, config.part(ProjectionHead), size, len(targets.names),
            kept_layers=config.ft_proj_selector,
        )  # fmt: skip
        features = keras.Input(models["encoder"].output_shape[1:])
        outputs = features
        for part in list(models.values())[1:]:
            outputs = part(outputs)
        head = keras.Model(features, activation(targets)(outputs), name="head")
    else:
        models = {"encoder": factory.build_encoder(shape, size)}
        if config.mode == "linear_eval":
            width = models["encoder"].output_shape[-1]
            head = linear_head(width, len(targets.names), targets.multilabel)
            models["classifier"] = head
    checkpoint = state.restore_models(run, **models)
    return Classifier(
        run=run,
        config=config,
        weights=state.describe_weights(run, checkpoint),
        checkpoint=checkpoint,
        encoder=models["encoder"],
        head=head,
        targets=targets,
        result=state.read_result(run) if state.is_finished(run) else None,
        data=facts.get("data", config.dataset),
    )


def open_weights(path, image_size):
    """The encoder of weights of others, as a run's without a head would be.

    Args:
      path: of the weights.
      image_size: side of its input, in pixels.

    Raises:
      BadInput: there are no weights of ours at the path.
    """
    strategies.set_precision("float32")
    size = (image_size, image_size, 3)
    encoder, report = pretrained.load_encoder(path, input_shape=size, flag="--checkpoint")
    of = report.description
    shape = of.architecture
    config = Config.of_mode(
        "pretrain", image_size=image_size, resnet_depth=shape.depth,
        width_multiplier=float(shape.width_multiplier), sk_ratio=float(shape.sk_ratio),
        se_ratio=float(shape.se_ratio), checkpoint=os.fspath(path),
    )  # fmt: skip
    weights = f"{of.name}, {of.layout} (sha256 {of.sha256})"
    return Classifier(path, config, weights, of.path, encoder, None, None, None, data="")


def calibrated(classifier, temperatures):
    """A classifier whose probabilities are scaled, see `statistics.temperature`.

    Args:
      classifier: `Classifier` with a head.
      temperatures: float [1] of classes, [K] of findings.
    """
    ops = keras.ops
    features = keras.Input(classifier.encoder.output_shape[1:])
    p = classifier.head(features)
    if classifier.multilabel:
        scaled = ops.sigmoid((ops.log(p) - ops.log1p(-p)) / temperatures)
    else:
        scaled = ops.softmax(ops.log(p) / temperatures)
    return dataclasses.replace(classifier, head=keras.Model(features, scaled, name="head"))


def activation(targets):
    """From logits to probabilities: softmax over classes, sigmoid for findings."""
    return keras.ops.sigmoid if targets.multilabel else keras.ops.softmax
