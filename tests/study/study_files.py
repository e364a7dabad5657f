"""Files of studies, for the tests of what they say and of what is wrong with them."""

import tomllib

FILE = """
dataset = "derm_cases"
label_fractions = [1, 0.1]
seeds = [2, 0]
primary = "case/auc_macro"
reference = "micle"

[common]
image_size = 64
temperature = 1

[stages.simclr]
mode = "pretrain"
method = "simclr"
train_steps = 700
use_blur = false

[stages.micle]
mode = "pretrain"
train_steps = 350

[stages.linear_eval]
mode = "linear_eval"

[stages.finetune]
mode = "finetune"
rotation_degrees = 15

[stages.nih]
mode = "evaluate"
dataset = "nih_chest_xray14"
eval_split = "validation"

[variants]
random = ["linear_eval"]
supervised = ["finetune"]
micle = ["simclr", "micle", "finetune"]
trans-fer = ["simclr", "finetune", "nih"]

[grid.finetune]
learning_rate = [1, 0.01]
optimizer = ["adam", "lars"]

[select]
finetune = "case/auc_macro"
"""
SMALL = """
[stages.first]
mode = "pretrain"
[stages.last]
mode = "finetune"
[variants]
one = ["first", "last"]
"""


def changed(*changes, file=FILE):
    """The text of a file with some pieces replaced, each of which is there."""
    for before, after in changes:
        assert before in file, before
        file = file.replace(before, after, 1)
    tomllib.loads(file)
    return file
