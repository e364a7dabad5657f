"""Which variants of a study are alike but for MICLe."""

import pytest

from micle_tf.study.pairs import micle_pairs
from micle_tf.study.places import STUDIES
from micle_tf.study.specification import parse, read

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
    return micle_pairs(parse(f"{HEAD}{''.join(tables)}[variants]\n{variants}", "a"))


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
    assert micle_pairs(read(STUDIES / f"{name}.toml")) == expected
