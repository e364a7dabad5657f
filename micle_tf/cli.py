"""From the command line to a mode's function, and from its end to an exit code.

The only module that sees absl flags. A setting comes, in this order, from the
command line; from the run that --checkpoint names (architecture and data); from the
recipe, a flagfile; from the default in `config.py`.
"""

import dataclasses
import difflib
import faulthandler
import os
import pathlib
import re
import shlex
import sys

from absl import flags as absl_flags

from micle_tf import console
from micle_tf.config import Config
from micle_tf.errors import BadInput
from micle_tf.exits import DONE, guarded, leave
from micle_tf.run_names import POLICY, default_model_dir

RECIPES = pathlib.Path(__file__).resolve().parent.parent / "flags"
_DATA = (
    "dataset", "manual_dir", "manifest", "image_dir", "columns", "ids", "missing", "findings",
    "findings_column", "labels_shared_by_case", "group_by", "max_pixels", "max_image_bytes", "max_bad_images",
    "max_image_side", "jpeg_quality", "strip_metadata",
)  # fmt: skip
_DEFINE = {
    bool: absl_flags.DEFINE_bool,
    int: absl_flags.DEFINE_integer,
    float: absl_flags.DEFINE_float,
    str: absl_flags.DEFINE_string,
}


def run(argv):
    """`main` as a program: quiet about what TensorFlow prints on its own.

    Args:
      argv: the arguments without the program's name.

    Returns:
      The exit code: 0 done, 2 bad usage or input, 75 interrupted, 1 stopped from outside.
    """
    if not any(arg.lstrip("-").startswith("tensorflow_log") for arg in argv):
        hide_native_messages()
    return main(argv, leave)


def main(argv, end=lambda code: code):
    """Runs one command and returns its exit code; see `run`, and `guarded` for `end`."""
    if any(arg in ("-h", "--help", "-help", "--helpfull", "--helpshort") for arg in argv):
        print(usage())
        return DONE

    def command():
        config, origin = configure(argv)
        if not config.tensorflow_log:
            quiet_loggers()
        console.say(f"micle-tf: {config.mode}{origin and ', '}{origin}")
        _run_mode(config)

    return guarded(command, end)


def hide_native_messages():
    """Points descriptor 2, to which native code writes, to nowhere; Python's stderr stays."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.stderr = os.fdopen(os.dup(2), "w", buffering=1)
    with open(os.devnull, "w", encoding="utf-8") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    faulthandler.enable(sys.stderr)  # a crash of native code still leaves a trace


def quiet_loggers():
    """Keeps the Python loggers of TensorFlow, tfds and Beam to errors."""
    import logging

    from absl import logging as absl_logging

    absl_logging.set_verbosity(absl_logging.ERROR)
    logging.getLogger().setLevel(logging.ERROR)
    import tensorflow as tf

    tf.get_logger().setLevel("ERROR")


def configure(argv):
    """Decides every setting of a command.

    Args:
      argv: the arguments without the program's name.

    Returns:
      (Config, a line that says where the settings come from).

    Raises:
      BadInput: a flag is unknown, out of range, or contradicts the checkpoint.
    """
    explicit, flagfiles = parse(argv)
    mode = explicit.pop("mode", Config.mode)
    for field in dataclasses.fields(Config):
        if field.name in explicit and mode not in (field.metadata["only"] or (mode,)):
            console.say(f"note: --{field.name} does nothing in --mode={mode}")
    # A bad value on the line is named before anything is read.
    checked = Config.of_mode(mode, **explicit)
    source = _source(checked.checkpoint)
    given = (_inherited(checked, explicit, source) if source else {}) | explicit
    recipe, origin = _recipe(Config.of_mode(mode, **given), flagfiles)
    if "train_epochs" in explicit:  # which a recipe's train_steps would beat
        recipe.pop("train_steps", None)
    config = _as_prepared(Config.of_mode(mode, **recipe | given), {**recipe, **given})
    if not config.model_dir:
        config = config.replace(model_dir=default_model_dir(config, source))
    return config, origin


def _as_prepared(config, stated):
    """A config with what was noted when its dataset was prepared; what is stated stays."""
    from micle_tf.data.names import dataset_names, is_own, takes_manual_dir

    names = dataset_names(config)
    # Each of several has a note of its own, and of the others there is none.
    if len(names) > 1 or not (is_own(names[0]) and takes_manual_dir(names[0])):
        return config
    from micle_tf.data import places

    return places.noted(config, names[0], stated)


def parse(argv, where=""):
    """Reads flags into {field: value}, and the flagfiles named among them.

    Raises:
      BadInput: an unknown flag (with the nearest name), a value of the wrong kind, or a
        stray argument; the message starts with `where`.
    """
    values = absl_flags.FlagValues()
    fields = dataclasses.fields(Config)
    for field in fields:
        _DEFINE[field.type](field.name, None, field.metadata["help"], flag_values=values)
    absl_flags.DEFINE_string("train_mode", None, "SimCLR's name of mode.", flag_values=values)
    absl_flags.DEFINE_bool("use_tpu", None, "SimCLR's --strategy=tpu.", flag_values=values)
    flagfiles, argv = _take_flagfiles(argv)
    try:
        stray = values([""] + argv)[1:]
    except absl_flags.UnrecognizedFlagError as error:
        names = [field.name for field in fields]
        near = difflib.get_close_matches(error.flagname.removeprefix("no"), names, 1, 0.5)
        near = difflib.get_close_matches(error.flagname, names, 1, 0.5) or near
        hint = f"; did you mean --{near[0]}?" if near else ""
        raise BadInput(f"{where}--{error.flagname}: no such flag{hint}") from None
    except (absl_flags.Error, ValueError) as error:  # the latter from --nouse_blur=3
        raise BadInput(f"{where}{_wrong_kind(error, fields)}") from None
    if stray:
        raise BadInput(f"{where}{stray[0]}: stray argument; flags look like --name=value")
    found = {f.name: values[f.name].value for f in fields if values[f.name].present}
    if values["train_mode"].present:
        found.setdefault("mode", values["train_mode"].value)
    if values["use_tpu"].value:
        found.setdefault("strategy", "tpu")
    return found, flagfiles


def _wrong_kind(error, fields):
    """ "--seed=x: not a whole number", out of absl's "flag --seed=x: invalid literal ..."."""
    text = " ".join(str(error).split())
    stated = re.match(r"flag (--(\w+)=.*?): ", text)
    if not stated:
        return text
    kinds = {bool: "not true or false", int: "not a whole number", float: "not a number"}
    kind = {field.name: kinds.get(field.type) for field in fields} | {"use_tpu": kinds[bool]}
    kind = kind.get(stated[2])
    return f"{stated[1]}: {kind}" if kind else text


def _take_flagfiles(argv):
    """Splits off the values of --flagfile, which absl would read as if they stood on the line."""
    files, rest, argv = [], [], iter(argv)
    for argument in argv:
        name, equals, value = argument.partition("=")
        if name.lstrip("-") == "flagfile" and name.startswith("-"):
            files.append(value if equals else next(argv, ""))
        else:
            rest.append(argument)
    return files, rest


def _recipe(config, flagfiles):
    """({field: value}, origin) of the flagfiles named, or of the dataset's own recipe."""
    if not flagfiles:
        from micle_tf.data.names import dataset_names

        dataset, *others = dataset_names(config)
        names = [f"{config.mode}_{config.method}.flags", f"{config.mode}.flags"]
        paths = [RECIPES / dataset / name for name in names if not others]
        paths = [path for path in paths if path.exists()][:1]
        if not paths:
            usual = config.mode in ("prepare", "evaluate", "export")
            return {}, "" if usual else "no recipe: the defaults of --help"
    else:
        paths = [pathlib.Path(name) for name in flagfiles]
    values = {}
    for path in paths:
        values |= _read_flagfile(path)
    values.pop("mode", None)
    shown = [os.path.relpath(path) for path in paths]
    return values, f"recipe {', '.join(shown)}"


def _read_flagfile(path, depth=0):
    """{field: value} of a flagfile; # and // start comments, and files may name others."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"--flagfile={path}: cannot be read ({error})") from None
    args = [line.strip() for line in lines if line.strip() and line.strip()[0] not in "#/"]
    found, others = parse(args, where=f"{path}: ")
    values = {}
    for other in others:
        if depth > 8:
            raise BadInput(f"--flagfile={path}: files that name each other")
        values |= _read_flagfile(path.parent / other, depth + 1)
    return values | found


def _source(checkpoint):
    """The Config of the run that --checkpoint names; None without one."""
    if not checkpoint:
        return None
    from micle_tf.training import state

    state.check_place(checkpoint, "--checkpoint")
    return state.read_config(checkpoint)[0]


def _inherited(config, explicit, source):
    """What a run takes over from the one in --checkpoint: architecture, precision and data."""
    from micle_tf.training import state

    fixed = state.ARCHITECTURE
    if config.mode in ("pretrain", "finetune"):
        fixed += state.PROJECTION
    free = ("image_size",)
    if config.mode in ("evaluate", "export"):
        fixed, free = fixed + ("precision",), ()
    for name in fixed:
        stated = explicit.get(name, getattr(source, name))
        if stated != getattr(source, name) and name not in free:
            raise BadInput(
                f"--{name}={stated}: --checkpoint={config.checkpoint} was trained with "
                f"{getattr(source, name)}; leave the flag out"
            )
    stated = explicit.get("precision", source.precision)
    if (stated == "float64") != (source.precision == "float64"):
        raise BadInput(
            f"--precision={stated}: --checkpoint={config.checkpoint} was trained in "
            f"{source.precision}, and float64 goes with float64 alone"
        )
    names = fixed + ("precision", "data_dir")
    if "dataset" not in explicit and "manifest" not in explicit:
        names += _DATA
    if config.mode == "evaluate":
        names += POLICY  # what a label means stays what it meant in training
    taken = {name: getattr(source, name) for name in names}
    if not os.path.isdir(os.path.expanduser(source.manual_dir)):
        taken.pop("manual_dir", None)  # the files were moved since
    return taken


def _run_mode(config):
    """Calls the mode's function and says what to type next."""
    from micle_tf.training import state

    if config.mode != "prepare":
        state.check_place(config.model_dir, "--model_dir")  # before data is prepared for nothing
    if config.mode == "prepare":
        from micle_tf.data import cases

        if config.dry_run:
            for data in cases.check_cases(config):
                _say_all(cases.describe(data, labels=True))
            console.say("dry run: nothing was written")
        else:
            _say_all(cases.describe(cases.open_cases(config), labels=True))
        mode, more = ("prepare", ("beam_options",)) if config.dry_run else ("pretrain", ())
        _next(mode, *_flags(config, _DATA + ("data_dir",) + more))
    elif config.mode == "pretrain":
        from micle_tf.training.pretrain import pretrain

        _after_pretraining(config, pretrain(config) or {})
    elif config.mode == "linear_eval":
        from micle_tf.evaluation.linear_eval import linear_eval

        linear_eval(config)
        _compare(config, "a random encoder")
        if config.checkpoint:
            _next("finetune", f"--checkpoint={config.checkpoint}")
    elif config.mode == "finetune":
        from micle_tf.evaluation.finetune import finetune

        finetune(config)
        _compare(config, "supervised training from scratch")
        _next("evaluate", f"--checkpoint={config.model_dir}", "--eval_split=validation")
        _next("export", f"--checkpoint={config.model_dir}")
    elif config.mode == "evaluate":
        from micle_tf.evaluation.evaluate import evaluate

        evaluate(config)
        _next("export", f"--checkpoint={config.checkpoint}")
    elif config.mode == "export":
        from micle_tf.export import export

        saved = export(config)
        console.say(f"next: {shlex.join(['saved_model_cli', 'show', '--dir', saved, '--all'])}")


def _after_pretraining(config, result):
    """Says what to type next: on one dataset with labels, if there is any."""
    names = config.dataset.split("+")
    labelled = result.get("labelled_images", [1] * len(names))  # a worker has none
    name = next((name for name, images in zip(names, labelled) if images), None)
    if name is None:
        console.say(
            "no labels to learn from and to choose on: linear_eval and finetune want other data, by --manifest "
            "or --dataset"
        )
        _next("export", f"--checkpoint={config.model_dir}")
        return
    arguments = [f"--checkpoint={config.model_dir}"]
    if len(names) > 1:
        own = _DATA if "manifest" in name else ("dataset",)
        arguments += _flags(config.replace(dataset=name), own)
    _next("linear_eval", *arguments)
    _next("finetune", *arguments)


def _say_all(lines):
    for line in lines:
        console.say(line)


def _compare(config, floor):
    """Says how to run the same without pretraining or, where this was that, how to pretrain."""
    from micle_tf.training import state

    if config.checkpoint:
        console.say(f"to compare, the same with {floor}:")
        names = [
            field.name
            for field in dataclasses.fields(config)
            if not field.metadata["only"] or config.mode in field.metadata["only"]
        ]
        left_out = ("mode", "checkpoint", "model_dir", "ft_proj_selector", "profile")
        _next(config.mode, *_flags(config, [name for name in names if name not in left_out]))
    else:
        _next("pretrain", *_flags(config, _DATA + ("data_dir",) + state.ARCHITECTURE))


def _next(mode, *arguments):
    """Prints the command to type next, fit to be pasted into a shell."""
    console.say(f"next: {shlex.join(['python', 'run.py', f'--mode={mode}', *arguments])}")


def _flags(config, names):
    """--name=value of the fields that differ from their defaults."""
    defaults = Config.of_mode(config.mode)
    shown = {name: getattr(config, name) for name in names}
    return [
        f"--{name}={str(value).lower() if isinstance(value, bool) else value}"
        for name, value in shown.items()
        if value != getattr(defaults, name) or name == "dataset"
    ]


def usage():
    """The text of --help: every flag with its default and what it takes."""
    lines = [
        "python run.py --mode=MODE [--flag=value ...]; see README.md",
        "Without --flagfile, the recipe flags/<dataset>/<config>/<mode>_<method>.flags is used.",
        "",
    ]
    for field in dataclasses.fields(Config):
        choices = field.metadata["choices"]
        accepted = f" [{', '.join(map(str, choices))}]" if choices else ""
        default = str(field.default).lower() if field.type is bool else field.default
        own = "".join(f" ({mode}: {own})" for mode, own in field.metadata["by_mode"].items())
        lines.append(f"  --{field.name}={default}{own}{accepted}\n      {field.metadata['help']}")
    return "\n".join(
        lines
        + ["  --flagfile=FILE\n      A recipe: a file with one flag a line."]
        + ["  --train_mode=MODE\n      SimCLR's name of --mode."]
        + ["  --use_tpu=false\n      SimCLR's name of --strategy=tpu."]
    )
