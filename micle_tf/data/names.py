"""Names of the datasets, known without opening any of them."""

from micle_tf.errors import BadInput

DATASETS = {
    "derm_cases": ("synthetic", "synthetic_shuffled", "synthetic_same_photo", "manifest"),
}


def dataset_and_config(config):
    """Splits --dataset into its halves, filling in the second one.

    Args:
      config: reads `dataset`, `manifest`, `image_dir` and `columns`.

    Returns:
      ("derm_cases", "synthetic") and the like; a manifest makes it "manifest".

    Raises:
      BadInput: there is no such dataset, or dataset and manifest do not go together.
    """
    dataset, _, name = config.dataset.partition("/")
    if dataset not in DATASETS:
        raise BadInput(f"--dataset={config.dataset}: not one of {', '.join(DATASETS)}")
    name = name or ("manifest" if config.manifest else DATASETS[dataset][0])
    if name not in DATASETS[dataset]:
        raise BadInput(f"--dataset={config.dataset}: {dataset} has {', '.join(DATASETS[dataset])}")
    if name == "manifest" and not config.manifest:
        raise BadInput(f"--dataset={config.dataset}: name your cases with --manifest=cases.csv")
    if name != "manifest" and config.manifest:
        raise BadInput(
            f"--manifest={config.manifest}: goes with --dataset={dataset}/manifest, "
            f"not with {config.dataset}"
        )
    for flag in ("image_dir", "columns", "findings", "findings_column"):
        if getattr(config, flag) and not config.manifest:
            raise BadInput(f"--{flag}={getattr(config, flag)}: goes with --manifest=cases.csv")
    return dataset, name
