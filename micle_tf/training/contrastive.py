"""Contrastive training of a replica's pairs: embeddings, loss, what is logged and shown of it."""

import tensorflow as tf

from micle_tf import monitors
from micle_tf.data import sampling
from micle_tf.data.targets import is_labelled
from micle_tf.errors import BadInput
from micle_tf.files import renamed_when_whole
from micle_tf.losses import nt_xent_and_accuracy
from micle_tf.training import strategy as strategies
from micle_tf.training.best import Validation
from micle_tf.training.classification import partly_labelled_loss
from micle_tf.training.clock import speed
from micle_tf.training.inference import predict_images, traced

_PAIRS_SHOWN = 8
_RANK_UP_TO = 2048  # rows of the matrix behind the effective rank: 1 s at each log on one core
_SHOWN_PIXELS = 144  # small images are enlarged to about this side


def embed(models, batch):
    """The embeddings of one replica's pairs, in training mode.

    Both views go through the encoder as one batch, so that batch norm cannot tell them
    apart.

    Returns:
      (z1, z2), each [n, d] in the dtype of the models' outputs.
    """
    images = tf.concat([batch["view1"], batch["view2"]], axis=0)
    z = models["projection_head"](models["encoder"](images, training=True), training=True)
    return tuple(tf.split(z, 2))


def contrastive_loss(
    embeddings, batch, *, temperature, hidden_norm=True, mask_negatives="none", pairs=0
):
    """NT-Xent of one replica's pairs, against the embeddings of all replicas.

    Args:
      embeddings: (z1, z2) of `embed`.
      batch: the pairs; only "group" is read, if negatives are masked.
      temperature: of the similarities, above 0; 0.1 in SimCLR's command for ImageNet.
      hidden_norm: whether similarities are cosines.
      mask_negatives: "none", "case" or "patient".
      pairs: of the whole batch, over all replicas, for the spectrum; 0: none.

    Returns:
      (loss, {"contrastive_accuracy", "embedding_norm", "spectrum"}), means over this
      replica's anchors; the last one, see `monitors.spectrum`, up to 2,048 rows and columns.
    """
    gather = strategies.gather_replicas
    loss, accuracy = nt_xent_and_accuracy(
        *embeddings,
        temperature=temperature,
        hidden_norm=hidden_norm,
        groups=None if mask_negatives == "none" else batch["group"],
        gather=gather,
    )
    values = {"contrastive_accuracy": accuracy, "embedding_norm": monitors.mean_norm(*embeddings)}
    if pairs and min(embeddings[0].shape[-1], 2 * pairs) <= _RANK_UP_TO:
        values["spectrum"] = monitors.spectrum(*embeddings, gather=gather)
    return loss, values


def embed_and_classify(models, batch):
    """`embed`, and the logits of a classifier that reads the features and does not change them.

    Returns:
      {"embeddings": (z1, z2), "logits": (of the first views, of the second ones), each [n, K]}.
    """
    images = tf.concat([batch["view1"], batch["view2"]], axis=0)
    features = models["encoder"](images, training=True)
    z = models["projection_head"](features, training=True)
    logits = models["linear_classifier"](tf.stop_gradient(features), training=True)
    return {"embeddings": tuple(tf.split(z, 2)), "logits": tuple(tf.split(logits, 2))}


def loss_beside(contrastive, targets, outputs, batch):
    """The contrastive loss and, beside it, that of the linear classifier.

    What is logged as the loss stays the contrastive one.

    Args:
      contrastive: `contrastive_loss`, with its settings.
      targets: `Targets` of the classifier.
      outputs: of `embed_and_classify`.
      batch: the pairs, with "label1" and "label2".

    Returns:
      (sum of both losses, {values of both}).
    """
    loss, values = contrastive(outputs["embeddings"], batch)
    logits = tf.concat(outputs["logits"], axis=0)
    labels = tf.concat([batch["label1"], batch["label2"]], axis=0)
    other, others = partly_labelled_loss(targets, logits, labels)
    return loss + tf.cast(other, loss.dtype), values | others | {"loss": loss}


def logged(values):
    """What a step's values come to in the log: {name: float}."""
    values = dict(values)
    spectrum = values.pop("spectrum", None)
    rank = {} if spectrum is None else {"effective_rank": monitors.effective_rank(spectrum)}
    return {name: float(value) for name, value in values.items()} | rank


def note(values):
    """The text beside the progress bar."""
    text = (
        f"loss {values['loss']:.2f}/{values['loss_of_chance']:.2f} "
        f"acc {values['contrastive_accuracy']:.0%}/{values['chance']:.1%}"
    )
    text += speed(values)
    if "linear_accuracy" in values:
        text += f" linear {values['linear_accuracy']:.0%}"
    for name in values:
        if name.endswith("/knn_accuracy"):
            text += f" kNN {values[name]:.1%}"
    return text


def show_pairs(run, dataset):
    """Puts the first pairs of step 0 side by side: positive_pairs.png, and in TensorBoard."""
    batch = next(iter(dataset((0, 1))))
    views = [batch[name][:_PAIRS_SHOWN] for name in ("view1", "view2")]
    framed = [tf.pad(view, [[0, 0], [1, 1], [1, 1], [0, 0]], constant_values=1.0) for view in views]
    grid = tf.concat([tf.concat(tf.unstack(view), axis=1) for view in framed], axis=0)
    scale = max(1, _SHOWN_PIXELS // views[0].shape[1])
    grid = tf.repeat(tf.repeat(grid, scale, axis=0), scale, axis=1)
    pixels = tf.image.convert_image_dtype(grid, tf.uint8, saturate=True)
    content = tf.io.encode_png(pixels).numpy()
    with (
        renamed_when_whole(run.file("positive_pairs.png")) as unfinished,
        tf.io.gfile.GFile(unfinished, "wb") as file,
    ):
        file.write(content)
    with run.summaries.as_default(step=0):
        tf.summary.image("positive_pairs", pixels[None])
    run.summaries.flush()


def neighbour_validation(pretraining, data, encoder, inputs, *, eval_batch_size, units, batch_size):
    """The nearest-neighbour accuracy of --knn_every, as a `Validation`; None without.

    The labelled images of `train_split` vote on those of `eval_split`, by their features of
    the central view.

    Args:
      pretraining: `Pretraining`; reads `knn_every`.
      data: `CaseData`.
      encoder: that is trained.
      inputs: `Inputs`.
      eval_batch_size: images per step of the judgement.
      units: how many an epoch has.
      batch_size: how many a step has.

    Raises:
      BadInput: either split has no images with a class.
    """
    if not pretraining.knn_every:
        return None
    named = {"--train_split": inputs.train_split, "--eval_split": inputs.eval_split}
    readers = {flag: data.open(name, flag) for flag, name in named.items()}
    for flag, reader in readers.items():
        if not is_labelled(reader.index.class_label).any():
            raise BadInput(
                f"--knn_every={pretraining.knn_every}: {flag}={named[flag]} has no images "
                "with a class"
            )
    forward = traced(lambda images: encoder(images, training=False))

    def measure():
        features_and_classes = []
        for reader in readers.values():
            labelled = is_labelled(reader.index.class_label)
            features = predict_images(forward, reader, inputs.image_size, eval_batch_size)
            features_and_classes += [features[labelled], reader.index.class_label[labelled]]
        return {"knn_accuracy": monitors.knn_accuracy(*features_and_classes)}

    per_epoch = sampling.steps_per_epoch(units, batch_size)
    return Validation(
        inputs.eval_split, measure, pretraining.steps_between_neighbours(per_epoch),
        images=sum(reader.index.num_images for reader in readers.values()),
    )  # fmt: skip
