"""Which variants of a study are alike but for MICLe."""

import pytest

from micle_tf.study.pairs import micle_pairs
from micle_tf.study.places import STUDIES
from micle_tf.study.reading import parse, read
from micle_tf.study.runs import planned

STAGES = """
dataset = "derm_cases"
[stages.simclr]
mode = "pretrain"
method = "simclr"
[stages.half]
mode = "pretrain"
method = "simclr"
[stages.derm]
mode = "pretrain"
method = "simclr"
dataset = "derm_cases"
[stages.natural]
mode = "pretrain"
method = "simclr"
dataset = "imagenet2012"
[stages.micle]
mode = "pretrain"
method = "micle"
[stages.usual]
mode = "pretrain"
[stages.supervised]
mode = "finetune"
[stages.weights]
mode = "pretrain"
method = "micle"
checkpoint = "r50"
[stages.probe]
mode = "linear_eval"
[stages.finetune]
mode = "finetune"
[stages.nih]
mode = "evaluate"
dataset = "nih_chest_xray14"
"""
HEAD, *TABLES = STAGES.split("[stages.")


def pairs(**chains):
    """Of variants that are texts: "simclr micle finetune"."""
    words = {word for chain in chains.values() for word in chain.split()}
    tables = [f"[stages.{table}" for table in TABLES if table.split("]")[0] in words]
    variants = "\n".join(f"{name} = {chain.split()}" for name, chain in chains.items())
    study = parse(f"{HEAD}{''.join(tables)}[variants]\n{variants}", "a")
    return micle_pairs(study, planned(study, {}))


@pytest.mark.parametrize(
    "off, on",
    [
        ("simclr finetune", "half micle finetune"),  # equal work
        ("simclr finetune", "simclr micle finetune"),  # more of it
        ("simclr half finetune", "simclr micle finetune"),
        ("simclr finetune", "simclr micle half finetune"),  # and in between
        ("simclr finetune", "simclr micle usual finetune"),
        ("finetune", "micle finetune"),
        ("finetune", "usual finetune"),  # the method of those that state none
        ("derm finetune", "simclr micle finetune"),  # the same data, named or not
        ("natural simclr finetune", "natural half micle finetune"),
        ("supervised finetune", "supervised micle finetune"),
        ("simclr finetune nih", "half micle finetune nih"),
        ("simclr probe", "half micle probe"),
    ],
)
def test_variants_that_are_alike(off, on):
    assert pairs(off=off, on=on) == pairs(on=on, off=off) == [("off", "on")]


@pytest.mark.parametrize(
    "off, on",
    [
        ("finetune", "simclr micle finetune"),  # what comes before is another
        ("simclr finetune", "natural simclr micle finetune"),
        ("natural finetune", "simclr micle finetune"),  # other data
        ("simclr natural finetune", "natural simclr micle finetune"),  # another order
        ("supervised finetune", "simclr micle finetune"),  # another mode
        ("simclr probe", "simclr micle finetune"),  # judged otherwise
        ("simclr finetune nih", "simclr micle finetune"),  # transferred otherwise
        ("finetune", "weights finetune"),  # from weights
        ("micle finetune", "simclr micle finetune"),  # both with it
        ("simclr finetune", "half finetune"),  # none with it
    ],
)
def test_variants_that_are_not(off, on):
    assert pairs(off=off, on=on) == []


PLAIN = """
[stages.pre]
mode = "pretrain"
[stages.finetune]
mode = "finetune"
[variants]
supervised = ["finetune"]
pre = ["pre", "finetune"]
"""


@pytest.mark.parametrize(
    "typed, expected",
    [
        ({"manifest": "cases.csv"}, [("supervised", "pre")]),
        ({"manifest": "cases.csv", "method": "simclr"}, []),
        ({"dataset": "nih_chest_xray14"}, []),  # which SimCLR is for, where nobody says
        ({"dataset": "nih_chest_xray14", "method": "micle"}, [("supervised", "pre")]),
        ({"dataset": "imagenet2012"}, []),  # as its recipe says
    ],
)
def test_what_is_typed_and_what_the_data_wants_count(typed, expected):
    study = parse(PLAIN, "a")
    assert micle_pairs(study, planned(study, typed)) == expected


def test_of_several_that_of_equal_work():
    text = """
dataset = "derm_cases"
[stages.simclr]
mode = "pretrain"
method = "simclr"
train_steps = 700
[stages.half]
mode = "pretrain"
method = "simclr"
train_steps = 350
[stages.micle]
mode = "pretrain"
method = "micle"
train_steps = 350
[stages.finetune]
mode = "finetune"
[variants]
half = ["half", "finetune"]
simclr = ["simclr", "finetune"]
micle = ["half", "micle", "finetune"]
longer = ["simclr", "micle", "finetune"]
"""
    study = parse(text, "a")
    found = micle_pairs(study, planned(study, {}))
    assert found == [("simclr", "micle"), ("half", "longer")]


def test_weights_of_others_alone_and_then_micle():
    text = """
[stages.tuned]
mode = "finetune"
checkpoint = "r50"
[stages.micle]
mode = "pretrain"
method = "micle"
checkpoint = "r50"
[stages.finetune]
mode = "finetune"
[variants]
off = ["tuned"]
on = ["micle", "finetune"]
"""
    for same, expected in ((text, [("off", "on")]), (text.replace("r50", "r18", 1), [])):
        study = parse(same, "a")
        assert micle_pairs(study, planned(study, {"manifest": "cases.csv"})) == expected
    other = text.replace("[stages.finetune]", "[stages.finetune]\nlearning_rate = 0.1")
    study = parse(other, "a")
    assert micle_pairs(study, planned(study, {"manifest": "cases.csv"})) == []


@pytest.mark.parametrize("large, expected", [("c", [("off", "on")]), ("d", [])])
def test_weights_are_the_same_if_those_of_each_architecture_are(large, expected):
    text = f"""
[stages.tuned]
mode = "finetune"
checkpoint = {{small = "a", large = "c"}}
[stages.micle]
mode = "pretrain"
method = "micle"
checkpoint = {{small = "a", large = "{large}"}}
[stages.finetune]
mode = "finetune"
[variants]
off = ["tuned"]
on = ["micle", "finetune"]
[architectures.small]
resnet_depth = 18
[architectures.large]
resnet_depth = 50
"""
    study = parse(text, "a")
    assert micle_pairs(study, planned(study, {"manifest": "cases.csv"})) == expected


def test_of_several_the_first_and_each_with_micle_has_its_own():
    found = pairs(
        more="simclr micle finetune", half="half finetune", simclr="simclr finetune",
        micle="half micle finetune", probe="simclr probe", probed="half micle probe",
    )  # fmt: skip
    assert found == [("half", "more"), ("half", "micle"), ("probe", "probed")]


@pytest.mark.parametrize(
    "name, expected",
    [
        ("quick", [("simclr", "micle")]),
        ("demo", [("simclr", "micle")]),
        ("dermatology", [("simclr_both", "micle")]),
        ("chest_xray", []),
    ],
)
def test_pairs_of_our_studies(name, expected):
    study = read(STUDIES / f"{name}.toml")
    data = {} if study.dataset else {"manifest": "cases.csv"}
    assert micle_pairs(study, planned(study, data)) == expected
