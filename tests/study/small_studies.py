"""Studies of a set that is small, whose runs take a second each, and how they are called."""

STUDY = """
label_fractions = [0.5, 1.0]
seeds = [0, 1]
primary = "case/auc_macro"
reference = "random"
[common]
bootstrap_samples = 10
image_size = 16
resnet_depth = 10
width_multiplier = 0.125
preset = "paper"
[stages.simclr]
mode = "pretrain"
method = "simclr"
train_batch_size = 8
train_steps = 2
[stages.micle]
mode = "pretrain"
method = "micle"
train_batch_size = 4
train_steps = 2
[stages.linear_eval]
mode = "linear_eval"
[stages.finetune]
mode = "finetune"
train_batch_size = 8
train_steps = 2
[variants]
random = ["linear_eval"]
micle = ["simclr", "micle", "finetune"]
"""
COMMON = STUDY[STUDY.index("[common]") : STUDY.index("[stages.simclr]")]
GRID = f"""
seeds = [0, 1]
{COMMON}
[stages.finetune]
mode = "finetune"
train_batch_size = 8
train_steps = 1
[variants]
supervised = ["finetune"]
[grid.finetune]
learning_rate = [0.01, 0.1]
[select]
finetune = "case/top1"
"""
ENCODERS = """
[architectures.small]
width_multiplier = 0.125
[architectures.wide]
width_multiplier = 0.25
"""
WEIGHTS = f"""
{COMMON.replace("width_multiplier = 0.125", "").replace("resnet_depth = 10", "")}
[architectures.basic]
resnet_depth = 10
[architectures.selective]
resnet_depth = 14
sk_ratio = 0.0625
[stages.natural]
mode = "pretrain"
method = "simclr"
train_steps = 1
train_batch_size = 8
checkpoint = {{basic = "BASIC", selective = "SELECTIVE"}}
[stages.finetune]
mode = "finetune"
train_steps = 1
train_batch_size = 8
[variants]
published = ["natural", "finetune"]
"""


def place_of(small_set, folder):
    """A folder with a file of a study, and words that name its data."""
    (folder / "few.toml").write_text(STUDY)
    return folder, [
        f"--manifest={small_set / 'photos/cases.csv'}",
        f"--data_dir={small_set / 'data'}",
    ]


def words_of(folder, name, run, data, *more):
    return [
        "--mode=study", f"--study={folder / f'{name}.toml'}", f"--model_dir={folder / run}", *data,
        *more,
    ]  # fmt: skip
