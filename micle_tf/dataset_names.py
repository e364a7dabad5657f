"""Names of the datasets, known without opening any of them."""

from micle_tf.errors import BadInput
from micle_tf.settings import Tag, nearest, tagged

# Ours, each with its configurations; every other name is a set of tensorflow_datasets.
DATASETS = {
    "derm_cases": (
        "synthetic", "synthetic_shuffled", "synthetic_same_photo", "manifest",
        "scin", "pad_ufes_20", "ham10000", "isic2019",
    ),
    "chexpert_cases": ("official", "paper"),
    "nih_chest_xray14": ("default",),
    "mimic_cxr_jpg": ("default",),
    "padchest": ("default",),
}  # fmt: skip
# tensorflow_datasets has a chexpert of single images; here the name means the cases.
ALIASES = {"chexpert": "chexpert_cases"}
_LABELS_PER_IMAGE = ("nih_chest_xray14/default",)
_NO_FILES = ("synthetic", "synthetic_shuffled", "synthetic_same_photo", "manifest")


def dataset_names(config):
    """The datasets that --dataset names, several joined by "+".

    Args:
      config: reads `dataset` and the fields that describe its files.

    Returns:
      A tuple of names: "derm_cases/synthetic", with the configuration filled in and aliases
      resolved; of tensorflow_datasets' sets as they were given. A manifest makes
      "derm_cases" mean "derm_cases/manifest".

    Raises:
      BadInput: there is no such configuration, or flags do not go with the dataset.
    """
    names = tuple(_full_name(name, config) for name in config.dataset.split("+"))
    if len(set(names)) < len(names):
        raise BadInput(f"--dataset={config.dataset}: a dataset is named twice")
    if len(names) > 1 and config.mode in ("linear_eval", "finetune", "evaluate"):
        raise BadInput(
            f"--dataset={config.dataset}: --mode={config.mode} works on one dataset; name it"
        )
    if config.manifest and "derm_cases/manifest" not in names:
        raise BadInput(
            f"--manifest={config.manifest}: goes with --dataset=derm_cases/manifest, "
            f"not with {config.dataset}"
        )
    usual = lambda flag: getattr(type(config), flag)
    # Of several, one that is empty by default is named.
    for flag in sorted(tagged(config, Tag.OF_MANIFEST), key=lambda flag: usual(flag) != ""):
        if getattr(config, flag) != usual(flag) and not config.manifest:
            raise BadInput(f"--{flag}={getattr(config, flag)}: goes with --manifest=cases.csv")
    if config.ids != "alike" and not any(_has_ids(name) for name in names):
        raise BadInput(f"--ids={config.ids}: {config.dataset} has no ids that somebody wrote")
    is_derm = all(name.startswith("derm_cases/") for name in names)
    if config.findings and is_derm and not config.manifest:
        raise BadInput(
            f"--findings={config.findings}: goes with --manifest=cases.csv or chest X-rays"
        )
    if config.max_image_side and not any(is_own(name) for name in names):
        raise BadInput(
            f"--max_image_side={config.max_image_side}: {config.dataset} is used as "
            "tensorflow_datasets keeps it"
        )
    if config.manual_dir and not any(takes_manual_dir(name) for name in names):
        raise BadInput(
            f"--manual_dir={config.manual_dir}: {config.dataset} is not made from files there"
        )
    return names


def is_own(name):
    """Whether a name of `dataset_names` is one of ours, not tensorflow_datasets'."""
    return name.partition("/")[0] in DATASETS


def takes_manual_dir(name):
    """Whether a dataset is made from files that the user has in --manual_dir."""
    return name.partition("/")[2] not in _NO_FILES


def made_from_files(config):
    """Whether a dataset of a `Config` is made from files that somebody has, images and tables."""
    return any(_has_ids(name) for name in dataset_names(config))


def prepared_here(config):
    """Whether a dataset of a `Config` is one that we prepare, not tensorflow_datasets."""
    return any(is_own(name) for name in dataset_names(config))


def usual_method(config):
    """How the datasets of a `Config` are pretrained on where nobody says: "simclr" or "micle".

    Of chest X-rays SimCLR, as in the paper: few studies have several views [not verified].
    """
    is_chest = lambda name: is_own(name) and not name.startswith("derm_cases/")
    return "simclr" if all(map(is_chest, dataset_names(config))) else type(config).method


def labels_are_per_image(config):
    """Whether the images of a case have labels of their own, whatever the flags say."""
    return all(name in _LABELS_PER_IMAGE for name in dataset_names(config))


def _has_ids(name):
    return is_own(name) and (takes_manual_dir(name) or name.endswith("/manifest"))


def file_name(names):
    """The names as a part of a path: "derm_cases-ham10000+cifar10"."""
    return "+".join(name.replace("/", "-").replace(":", "-") for name in names)


def _full_name(text, config):
    dataset, _, name = text.strip().partition("/")
    dataset = ALIASES.get(dataset, dataset)
    if not dataset:
        raise BadInput(f"--dataset={config.dataset}: not one of {', '.join(DATASETS)}")
    if dataset not in DATASETS:
        return f"{dataset}/{name}" if name else dataset
    name = name or ("manifest" if config.manifest and dataset == "derm_cases" else "")
    name = name or DATASETS[dataset][0]
    if name not in DATASETS[dataset]:
        raise BadInput(
            f"--dataset={config.dataset}: {dataset} has {', '.join(DATASETS[dataset])}"
            f"{nearest(name, DATASETS[dataset])}"
        )
    if name == "manifest" and not config.manifest:
        raise BadInput(f"--dataset={config.dataset}: name your cases with --manifest=cases.csv")
    return f"{dataset}/{name}"
