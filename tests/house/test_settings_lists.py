"""What is said of a setting is said at its field; nowhere is there a second list of settings."""

import ast
import dataclasses
import pathlib
import re

import pytest

import micle_tf
from micle_tf.config import Config
from micle_tf.dataset_names import dataset_names
from micle_tf.errors import BadInput
from micle_tf.run_config import ARCHITECTURE, PROJECTION
from micle_tf.settings import Tag, options_of, tagged

SETTINGS = {field.name for field in dataclasses.fields(Config)}
# Where fields are defined and what is true of them is said.
CONFIGURATION = re.compile(r"config/\w+\.py|settings\.py")
# Lists that no new setting could have to join, and what they are.
NOT_OF_SETTINGS = {
    ("mode", "dataset", "method", "steps", "metrics", "intervals"): "keys of result.json",
}


def strings_of(node):
    """The strings that a list, tuple or set names, also a sum of several, or a text that is split.

    Dicts and keyword arguments give values to settings, so that they are no lists of them.
    """
    match node:
        case ast.List() | ast.Tuple() | ast.Set():
            return [text for element in node.elts for text in strings_of_element(element)]
        case ast.MatchOr(patterns=patterns):
            values = [one.value for one in patterns if isinstance(one, ast.MatchValue)]
            return [text for value in values for text in strings_of_element(value)]
        case ast.BinOp(op=ast.Add() | ast.BitOr()):
            return strings_of(node.left) + strings_of(node.right)
        case ast.Call(func=ast.Attribute(value=ast.Constant(value=str(text)), attr="split")):
            return text.split(*(argument.value for argument in node.args))
    return []


def strings_of_element(node):
    match node:
        case ast.Constant(value=str(text)):
            return [text]
        case ast.Starred(value=value):
            return strings_of(value)
    return []


def lists_of_settings(source):
    """(line, strings) of whatever in a source names two settings or more."""
    named = ((node, strings_of(node)) for node in ast.walk(ast.parse(source)))
    return [
        (node.lineno, tuple(strings))
        for node, strings in named
        if len(SETTINGS.intersection(strings)) > 1
    ]


def lists_of_the_package():
    """{file: what `lists_of_settings` gives} of micle_tf."""
    folder = pathlib.Path(micle_tf.__file__).parent
    return {
        path.relative_to(folder).as_posix(): lists_of_settings(path.read_text(encoding="utf-8"))
        for path in sorted(folder.rglob("*.py"))
    }


def test_settings_are_listed_at_their_fields_alone():
    found = [
        f"micle_tf/{file}:{line}: {strings}: make this a `Tag` of the fields, and ask `tagged`"
        for file, lists in lists_of_the_package().items()
        if not CONFIGURATION.fullmatch(file)
        for line, strings in lists
        if strings not in NOT_OF_SETTINGS
    ]
    assert not found, "\n".join(found)


def test_what_is_no_list_of_settings_is_still_there():
    there = {strings for lists in lists_of_the_package().values() for _, strings in lists}
    assert NOT_OF_SETTINGS.keys() <= there


@pytest.mark.parametrize(
    "source",
    [
        'COMPARED = ("temperature", "weight_decay")',
        'def f(): return ["temperature", 3, "another", "weight_decay"]',
        'if name in {"temperature", "weight_decay"}: pass',
        'COMPARED = frozenset(("temperature", "weight_decay"))',
        'COMPARED = tuple(["temperature", "weight_decay"])',
        'COMPARED = "temperature weight_decay".split()',
        'COMPARED = "temperature,weight_decay".split(",")',
        'COMPARED = (*OTHERS, "temperature", *("weight_decay",))',
        'COMPARED = ("temperature",) + ("weight_decay",)',
        'COMPARED = dict.fromkeys(["temperature", "weight_decay"], 0)',
        'match name:\n    case "temperature" | "weight_decay":\n        pass',
    ],
)
def test_a_second_list_is_noticed(source):
    strings = {"temperature", "weight_decay"}
    assert any(strings <= set(found) for _, found in lists_of_settings(f"import x\n{source}\n"))


@pytest.mark.parametrize(
    "source",
    [
        'PRESET = {"temperature": 0.1, "weight_decay": 1e-4}',
        "optimizer(config.learning_rate, config.momentum, weight_decay=1e-4, temperature=0.2)",
        'for name, value in (("temperature", temperature), ("weight_decay", decay)): check(value)',
        'causes = [("too hot", {"temperature": 0.1}), ("too heavy", {"weight_decay": 0.0})]',
        'names = (*tagged(Config, Tag.DATA), "temperature")',
        '"""Of the temperature and the weight_decay."""',
    ],
)
def test_what_gives_values_is_no_list(source):
    assert lists_of_settings(source) == []


def test_a_new_list_in_the_package_would_fail(monkeypatch):
    read = pathlib.Path.read_text

    def with_a_list(path, **options):
        more = '\nWATCHED = ("temperature", "weight_decay")\n' if path.name == "losses.py" else ""
        return read(path, **options) + more

    monkeypatch.setattr(pathlib.Path, "read_text", with_a_list)
    with pytest.raises(AssertionError, match=r"micle_tf/losses.py:\d+: \('temperature', 'weight_d"):
        test_settings_are_listed_at_their_fields_alone()


DATA = (
    "dataset", "manual_dir", "manifest", "image_dir", "columns", "ids", "missing", "findings",
    "findings_column", "labels_shared_by_case", "group_by", "max_pixels", "max_image_bytes",
    "max_bad_images", "max_image_side", "jpeg_quality", "strip_metadata",
)  # fmt: skip
CASES = (
    "manifest", "image_dir", "columns", "findings", "findings_column", "labels_shared_by_case",
    "group_by",
)  # fmt: skip
OF_THE_START = {
    "checkpoint", "ft_proj_selector", "fine_tune_after_block", "num_proj_layers", "proj_out_dim",
    "mode", "model_dir", "dry_run", "study", "profile", "new_projection_head", "rescale_kernels",
}  # fmt: skip


@pytest.mark.parametrize(
    "tags, expected",
    [
        (Tag.NAMES_DATA, ("dataset", "manifest")),
        (Tag.CASES, CASES),
        (Tag.STORED, ("max_pixels", "max_bad_images", "max_image_side", "jpeg_quality")),
        (Tag.STORED_LATER, ("max_image_bytes", "strip_metadata")),
        (Tag.DATA, DATA),
        (Tag.OF_MANIFEST, ("image_dir", "columns", "missing", "findings_column")),
        (Tag.POLICY, ("uncertain", "unmentioned")),
        (Tag.INPUT, ("image_size",)),
        (Tag.PROJECTION, ("num_proj_layers", "proj_out_dim")),
        (Tag.INHERITED, ("data_dir", "precision")),
        (Tag.COMMAND, ("mode", "dry_run", "model_dir", "study", "profile")),
        (Tag.DATA_PLACE, ("data_dir", "manifest", "image_dir")),
        (Tag.RUN_PLACE, ("model_dir", "checkpoint")),
        (Tag.TPU, ("tpu_name", "tpu_zone", "gcp_project")),
        (Tag.NONE, ()),
    ],
)
def test_which_settings_have_a_tag(tags, expected):
    assert tagged(Config, tags) == tagged(Config.of_mode("finetune"), tags) == expected


def test_several_tags_are_asked_for_at_once():
    assert set(tagged(Config, Tag.COMMAND | Tag.START | Tag.PROJECTION)) == OF_THE_START
    places = ("data_dir", "manifest", "image_dir", "model_dir", "checkpoint")
    assert tagged(Config, Tag.DATA_PLACE | Tag.RUN_PLACE) == places  # each once


def test_the_architecture_ends_with_what_the_weights_leave_open():
    """Of contradictions the first is named, and commands are printed in this order."""
    expected = ("resnet_depth", "width_multiplier", "sk_ratio", "se_ratio", "image_size")
    assert expected == ARCHITECTURE
    assert PROJECTION == ("num_proj_layers", "proj_out_dim")


@pytest.mark.parametrize(
    "given, named",
    [
        ({"image_dir": "a", "columns": "b"}, "--image_dir=a"),
        ({"columns": "b", "findings_column": "c"}, "--columns=b"),
        ({"missing": "-", "findings_column": "c"}, "--findings_column=c"),
        ({"missing": "-"}, "--missing=-"),
        ({"missing": ""}, "--missing="),
    ],
)
def test_of_flags_that_go_with_a_manifest_one_is_named(given, named):
    with pytest.raises(BadInput) as error:
        dataset_names(Config(dataset="derm_cases/ham10000", **given))
    assert str(error.value) == f"{named}: goes with --manifest=cases.csv"


def test_options_take_the_settings_of_their_names():
    @dataclasses.dataclass
    class Options:
        seed: int
        size: int
        temperature: float = 0.5

    config = Config(seed=3, temperature=0.2, image_size=64)
    assert options_of(Options, config, size=config.image_size) == Options(3, 64, 0.2)
    with pytest.raises(AttributeError, match="size"):  # and is not left at a default
        options_of(Options, config)
