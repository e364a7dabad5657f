"""What --help shows: a first screen, the flags of a mode, the common ones, all."""

import dataclasses
import shutil
import textwrap

from micle_tf.config import Config
from micle_tf.config.modes import MODES, STUDY
from micle_tf.program import documents, typed
from micle_tf.settings import GROUPS

_WIDEST = 80
_TEXT_AT = 6  # column at which a flag's help begins
# What is no field of the configuration: of a run, and of any command.
_OF_A_RUN = {
    "flagfile=FILE": "A recipe: a file with one flag a line, in place of the dataset's own.",
    "train_mode=MODE": "SimCLR's name of --mode; its other flags are in docs/published_weights.md.",
}
_OTHERS = {
    "help, --helpfull, --version": "This, every flag, and a block for bug reports.",
}
_WHAT = {
    "prepare": "pack a dataset as cases; every other mode does so itself",
    "pretrain": "SimCLR or MICLe, without labels",
    "linear_eval": "a linear head on frozen features",
    "finetune": "encoder and classifier on few labels",
    "evaluate": "judge a trained classifier, on other data too",
    "export": "a SavedModel and a Keras encoder",
    "study": "variants, label fractions and seeds, with tables",
}


def first_screen():
    """What the program says when nothing is asked of it: at most 24 lines of 80 columns."""
    run = "runs/first"
    commands = [
        typed("--mode=pretrain", "--dataset=derm_cases", f"--model_dir={run}"),
        typed("--mode=finetune", f"--checkpoint={run}"),
        typed("--mode=export", f"--checkpoint={run}/finetune"),
    ]
    own_photos = (
        "Your own photos: --manifest=cases.csv in place of --dataset, a table with a row per photo "
        "and columns image (its path beside the table) and case_id (photos of one thing share it); "
        "patient_id, label, split if known. Settings suit the machine (--preset); --dry_run says "
        "what a run will take."
    )
    modes = (
        " -> ".join(MODES[:2]) + " -> " + " | ".join(MODES[2:4]) + " -> " + " | ".join(MODES[4:6])
    )
    modes += f"; {MODES[6]}"
    return "\n".join(
        [
            "micle-tf: SimCLR and MICLe pretraining for medical images, many of them, few",
            "labelled, several of a patient. Research software, not a medical device.",
            "",
            f"modes  {modes}",
            "",
            "Photos that are made here, in minutes on a laptop; each command names the next:",
            *(f"  {command}" for command in commands),
            "",
            *_wrapped(own_photos, 0),
            "",
            f"flags of a mode   {typed('--mode=finetune', '--help')}",
            "common ones, all  --help, --helpfull",
            f"documents         {documents()}",
        ]
    )


def of_mode(mode):
    """The flags that a mode takes, by groups, with the mode's own defaults."""
    config = Config.of_mode(mode)
    fields = [f for f in _fields() if not f.metadata["only"] or mode in f.metadata["only"]]
    title = _wrapped(f"{typed(f'--mode={mode}')}: {_WHAT[mode]}", 0)
    title += [*([] if mode in STUDY else _recipes_lines()), ""]
    shown = {field.name: getattr(config, field.name) for field in fields if field.name != "mode"}
    others = _others({} if mode in STUDY else _OF_A_RUN)
    return "\n".join([*title, *_groups(fields, shown), *others])


def common():
    """The flags that most people need."""
    fields = [field for field in _fields() if field.metadata["common"]]
    title = [f"{typed('--mode=MODE')} [--flag=value ...]", *_recipes_lines(), ""]
    title += [*(f"  {mode:12s} {what}" for mode, what in _WHAT.items()), ""]
    more = [f"All flags: --helpfull; those of a mode: {typed('--mode=finetune', '--help')}"]
    return "\n".join([*title, *_groups(fields), *_others(), *more])


def full():
    """Every flag, with its default and those of the modes that have their own."""
    title = [f"{typed('--mode=MODE')} [--flag=value ...]", *_recipes_lines(), ""]
    return "\n".join([*title, *_groups(_fields()), *_others()])


def _fields():
    return dataclasses.fields(Config)


def _recipes_lines():
    return _wrapped(
        "Without --flagfile, the recipe flags/<dataset>/<config>/<mode>[_<method>].flags is taken "
        "if there is one; what is typed wins.",
        0,
    )


def _groups(fields, shown=None):
    """Lines of all groups; `shown` has the defaults, or each field's own and its modes'."""
    lines = []
    for group in GROUPS:
        members = [field for field in fields if field.metadata["group"] == group]
        if shown is not None:
            members = [field for field in members if field.name in shown]
        if members:
            lines += [group]
            for field in members:
                lines += _field_lines(field, None if shown is None else shown[field.name])
            lines += [""]
    return lines


def _field_lines(field, default=None):
    by_mode = field.metadata["by_mode"] if default is None else {}
    other_defaults = "".join(f" ({mode}: {value})" for mode, value in by_mode.items())
    value = field.default if default is None else default
    value = str(value).lower() if field.type is bool else value
    choices = field.metadata["choices"]
    accepted = f" [{', '.join(map(str, choices))}]" if choices else ""
    return [
        *_wrapped(f"--{field.name}={value}{other_defaults}{accepted}", 2, _TEXT_AT + 2),
        *_wrapped(field.metadata["help"], _TEXT_AT),
    ]


def _others(of_a_run=_OF_A_RUN):
    return [
        line
        for flag, text in (of_a_run | _OTHERS).items()
        for line in (f"  --{flag}", *_wrapped(text, _TEXT_AT))
    ]


def _wrapped(text, indent, more=None):
    """Lines of at most 80 columns, or as many as the terminal has."""
    width = min(_WIDEST, max(40, shutil.get_terminal_size((_WIDEST, 24)).columns))
    return textwrap.wrap(
        text,
        width,
        initial_indent=" " * indent,
        subsequent_indent=" " * (indent if more is None else more),
        break_long_words=False,
        break_on_hyphens=False,
    )
