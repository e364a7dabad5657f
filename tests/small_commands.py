"""What makes a command of ours small, for tests that type it as it is printed or documented."""

import pathlib

from micle_tf import export

ENCODER = ["--image_size=16", "--resnet_depth=10", "--width_multiplier=0.125"]
FEW = ["--bootstrap_samples=10"]
SMALL = {
    "prepare": [],
    "pretrain": [*ENCODER, "--train_batch_size=8", "--train_steps=1"],
    "linear_eval": [*ENCODER, *FEW],
    "finetune": [*ENCODER, *FEW, "--train_batch_size=8", "--train_steps=1"],
    "evaluate": FEW,
    "export": [],
}


def folder_alone(classifier, folder, name, version, facts, **options):
    """What `write_export` does before it writes, and a file in the place of the SavedModel.

    A line can be wrong up to there; what comes after takes ten seconds, and has tests of its own.
    """
    exported = export._places(folder, name, version)
    saved_model = pathlib.Path(exported.saved_model)
    saved_model.mkdir(parents=True)
    (saved_model / "saved_model.pb").touch()
    return exported
