"""What a study asks for: the stages of its variants, and the flags of these."""

from micle_tf.study.reading import parse
from micle_tf.study.specification import combinations
from tests.study.study_files import FILE, SMALL


def test_the_judged_stage_and_what_stands_behind_it():
    study = parse(FILE, "a")
    judged = {variant: study.judged_stage(variant) for variant in study.variants}
    assert judged == {
        "random": "linear_eval", "supervised": "finetune", "micle": "finetune",
        "trans-fer": "finetune",
    }  # fmt: skip
    assert study.transfers("trans-fer") == ("nih",) and study.transfers("micle") == ()


def test_supervised_pretraining_stands_before_the_judged_stage():
    text = SMALL.replace(
        '"pretrain"', '"finetune"\nlabel_fraction = 0.5\neval_split = "validation"'
    )
    assert parse(text, "a").judged_stage("one") == "last"


def test_flags_of_a_stage_are_its_own_and_the_common_ones_that_it_reads():
    study = parse(FILE, "a")
    assert study.flags("simclr") == {
        "mode": "pretrain", "dataset": "derm_cases", "image_size": 64, "temperature": 1.0,
        "method": "simclr", "train_steps": 700, "use_blur": False,
    }  # fmt: skip
    assert next(iter(study.flags("simclr"))) == "mode"
    # Of all common ones, it reads the size of images alone.
    expected = {"mode": "linear_eval", "dataset": "derm_cases", "image_size": 64}
    assert study.flags("linear_eval") == expected
    assert study.flags("nih")["dataset"] == "nih_chest_xray14"


def test_its_own_flags_stand_above_the_common_ones():
    text = SMALL.replace('"pretrain"', '"pretrain"\ntrain_steps = 9')
    study = parse(f"[common]\ntrain_steps = 5\n{text}", "a")
    assert study.flags("first")["train_steps"] == 9 and study.flags("last")["train_steps"] == 5


def test_what_is_said_of_some_data_is_not_said_of_other_data():
    """As on a command line: a run that names its data takes no flag of data over."""
    text = f"""
        manifest = "cases.csv"
        [common]
        findings = "all"
        group_by = "study"
        uncertain = "ones"
        {SMALL.replace('"last"]', '"last", "there"]')}
        [stages.there]
        mode = "evaluate"
        dataset = "nih_chest_xray14"
    """
    study = parse(text, "a")
    own = {"mode": "evaluate", "dataset": "nih_chest_xray14", "uncertain": "ones"}
    assert study.flags("there") == own  # no manifest, findings and cases
    assert study.flags("last") == {
        "mode": "finetune", "manifest": "cases.csv", "findings": "all", "group_by": "study",
        "uncertain": "ones",
    }  # fmt: skip


def test_weights_of_others_begin_a_chain():
    text = SMALL.replace('mode = "finetune"', 'mode = "finetune"\ncheckpoint = "~/r50"')
    text = text.replace('["first", "last"]', '["last"]').replace("[stages.first]\nmode = ", "#")
    study = parse(text, "a")
    assert study.flags("last") == {"mode": "finetune", "checkpoint": "~/r50"}


def test_combinations():
    assert list(combinations({"a": (1, 2), "b": "xy"})) == [
        {"a": 1, "b": "x"}, {"a": 1, "b": "y"}, {"a": 2, "b": "x"}, {"a": 2, "b": "y"},
    ]  # fmt: skip
    assert list(combinations({})) == [{}]
