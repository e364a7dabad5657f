"""Names of run directories."""

import os

from micle_tf.config.modes import LABELS
from micle_tf.dataset_names import dataset_names, file_name
from micle_tf.settings import Tag, tagged


def default_model_dir(config, source, weights=""):
    """The run directory of a command that names none.

    Args:
      config: `Config`.
      source: the `Config` of the run that `checkpoint` names; None without one.
      weights: the name of the weights of others that it names; "" for none.

    Returns:
      "runs/<dataset>-<config>/pretrain-<method>", or, below the run in `checkpoint`,
      "RUN/<mode>[-<dataset>][-<what is special>]"; of weights of others the first, with their name.
    """
    datasets = name = file_name(dataset_names(config))
    mode = f"{config.mode}-{config.method}" if config.mode == "pretrain" else config.mode
    if config.manifest:
        name += "-" + os.path.splitext(os.path.basename(os.path.normpath(config.manifest)))[0]
    is_same = source and same_data(source, config)
    folder = config.checkpoint if source else os.path.join("runs", datasets)
    mode += f"-{weights}" * bool(weights)
    if not config.checkpoint and config.mode not in ("pretrain", "evaluate", "export"):
        mode += "-random"
    elif source and not is_same and config.mode != "export":
        mode += f"-{name}"
    if config.mode in LABELS and config.label_fraction < 1:
        mode += f"-{config.label_fraction:g}"
    if config.mode == "evaluate" and config.eval_split != "test":
        mode += f"-{config.eval_split}"
    if config.mode == "evaluate" and source:
        policy = tagged(config, Tag.POLICY)
        differing = [n for n in policy if getattr(config, n) != getattr(source, n)]
        policies = [f"{name}_{getattr(config, name)}" for name in differing]
        mode = "-".join([mode, *policies])
    return os.path.join(folder, mode)


def same_data(source, config):
    """Whether two configurations name the same cases."""
    same_name = dataset_names(source) == dataset_names(config)
    return same_name and all(
        config.otherwise(name) or _spelled(source, name) == _spelled(config, name)
        for name in tagged(config, Tag.CASES)
    )


def _spelled(config, name):
    """A field's value; of a path, the same with and without ~."""
    value = getattr(config, name)
    is_path = type(config).__dataclass_fields__[name].metadata["path"]
    return os.path.expanduser(value) if is_path else value
