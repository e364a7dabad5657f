"""From the command line to a mode's function, and from its end to an exit code.

A setting comes, in this order, from the command line; from the run that --checkpoint names
(architecture, data, preset, batch); from the recipe, a flagfile; from a preset, which suits the
machine; from the default at its field.
A run that lies in --model_dir keeps its own for whatever is not typed.
"""

import contextlib
import contextvars
import dataclasses
import importlib
import os
import sys
import typing
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

import micle_tf
from micle_tf import console, inheritance, next_steps, presets, quiet, recipes, starts, usage
from micle_tf.config import Config, Devices
from micle_tf.config.modes import STUDY, TRAIN
from micle_tf.config.run import ONEDNN
from micle_tf.data import places
from micle_tf.dataset_names import dataset_names, is_own, takes_manual_dir, usual_method
from micle_tf.errors import BadInput
from micle_tf.exits import DONE, guarded, leave
from micle_tf.parsing import ASKING, Parsed, parse
from micle_tf.run_config import check_place, is_finished
from micle_tf.run_names import default_model_dir
from micle_tf.settings import Tag, tagged
from micle_tf.study.directory import Machine

__all__ = ["DONE", "RECIPES", "configure", "main", "run", "usual"]  # notebooks call these

RECIPES = recipes.RECIPES
# `Stated` of the command that runs, for `_run_mode`.
_STATED: "contextvars.ContextVar[Stated | None]" = contextvars.ContextVar("stated", default=None)
_CHOSEN = "MICLE_TF_ONEDNN"  # that it was us who said so


def run(argv: list[str]) -> int:
    """`main` as a program: quiet about what TensorFlow prints on its own.

    Args:
      argv: the arguments without the program's name.

    Returns:
      The exit code: 0 done, 2 bad usage or input, 75 interrupted, 1 stopped from outside.
    """
    if not _wants_native_messages(argv):
        quiet.hide_native_messages()
    return main(argv, leave)


def main(argv: list[str], end: Callable[[int], int] = lambda code: code) -> int:
    """Runs one command and returns its exit code; see `run`, and `guarded` for `end`."""

    def command() -> None:
        if instead := _asked_for(argv):
            instead()
            return
        if (line := parse(argv)).values.get("mode") in STUDY:
            _study(line)
            return
        config, origin, stated = _decided(argv)
        _check_system(config)
        _choose_kernels(config)
        if not config.tensorflow_log:
            quiet.quiet_loggers()
        console.say(f"micle-tf: {config.mode}{origin and ', '}{origin}")
        _STATED.set(stated)
        _run_mode(config)

    return guarded(command, end)


def _asked_for(argv: list[str]) -> Callable[[], None] | None:
    """What a command line asks for instead of a run, as a function that says it; None for a run.

    Raises:
      BadInput: something beside --help or --version is no flag, or no value of one.
    """
    if not argv:
        return lambda: _show(usage.first_screen())
    asked = {argument.lstrip("-") for argument in argv if argument.startswith("-")} & ASKING
    if not asked:
        return None
    explicit = parse([arg for arg in argv if arg.lstrip("-") not in asked]).values
    if "version" in asked:
        return micle_tf.show_versions
    if "helpfull" in asked:
        return lambda: _show(usage.full())
    if "mode" not in explicit:
        return lambda: _show(usage.common())
    mode = Config(mode=explicit["mode"]).mode  # which raises BadInput for a typo
    return lambda: _show(usage.of_mode(mode))


def _show(text: str) -> None:
    with contextlib.suppress(BrokenPipeError):  # `--help | head`
        print(text, flush=True)


def _wants_native_messages(argv: list[str]) -> bool:
    try:
        line = parse(argv)
        files = [recipes.read_flagfile(recipes.path_of(name)) for name in line.flagfiles]
    except BadInput:  # which is said later
        return False
    stated = [
        read.values["tensorflow_log"] for read in (*files, line) if "tensorflow_log" in read.values
    ]
    return bool(stated and stated[-1])


def configure(argv: list[str]) -> tuple[Config, str]:
    """Decides every setting of a command.

    Args:
      argv: the arguments without the program's name.

    Returns:
      (Config, a line that says where the settings come from).

    Raises:
      BadInput: a flag is unknown, out of range, or contradicts the checkpoint.
    """
    config, origin, _ = _decided(argv)
    return config, origin


class Stated(typing.NamedTuple):
    """Names of the fields that somebody states, as a mode that trains wants to know them.

    Attributes:
      typed: on the command line, or in a file that it names; or of the run in --model_dir.
      anywhere: those, and the ones of the dataset's own recipe.
    """

    typed: frozenset[str]
    anywhere: frozenset[str]


def _decided(argv: list[str]) -> tuple[Config, str, Stated]:
    """`configure`, and `Stated`."""
    explicit, flagfiles, notes, in_simclrs_words = parse(argv)
    _say_notes(notes)
    mode = explicit.pop("mode", Config.mode)
    # A bad value on the line is named before anything is read.
    checked = Config.of_mode(mode, **explicit)
    _refuse_dry_run(checked)
    _choose_kernels_early(checked, explicit, flagfiles, in_simclrs_words)
    start = starts.start_of(checked.checkpoint, checked.model_dir)
    source, weights = start.config, start.weights
    given = _taken_over(checked, explicit, start) | explicit
    usual = _usual_method(Config.of_mode(mode, **given))
    suited = _suited(
        Config.of_mode(mode, **usual | given), explicit, flagfiles, source, in_simclrs_words
    )
    _say_notes(suited.notes)
    batch = {} if "preset" in explicit else inheritance.batch_of(source, mode)
    given.pop("preset", None)  # auto is none
    config = Config.of_mode(mode, **usual | suited.preset_values | batch | suited.recipe | given)
    without = Config.of_mode(mode, **suited.preset_values)
    batch_is_another = batch and config.train_batch_size != without.train_batch_size
    if config.ft_proj_selector == -1 and config.checkpoint:
        config = config.replace(ft_proj_selector=config.num_proj_layers)
    _refuse_dry_run(config)  # which a file may ask for too
    idle = {name: config.otherwise(name) for name in explicit}
    _say_notes(f"--{name} does nothing {why}" for name, why in idle.items() if why)
    if weights:
        starts.check_weights(weights, config, explicit, config.checkpoint)
        _say_what_gives_way(config, explicit, suited)
    config = _as_prepared(config, {**suited.recipe, **given})
    if not config.model_dir:
        begun_before = bool(usual) and "method" not in {**suited.recipe, **given}
        config = _placed(config, start, begun_before)
    typed = {*explicit, *(suited.recipe if flagfiles else ())}
    anywhere = {*explicit, *suited.recipe}
    origin = suited.described(config)
    there = inheritance.run_there(config)
    if there and explicit.get("preset", "auto") not in ("auto", presets.of_run(there.preset)):
        pass  # another preset was typed, so that this is to be another run
    elif there:
        config, origin = inheritance.as_there(config, there, typed), "as the run that is there"
        typed = anywhere = {field.name for field in dataclasses.fields(Config)}
    elif "train_batch_size" not in anywhere and batch_is_another:
        console.say(f"batch: {config.train_batch_size}, as in {config.checkpoint}")
    return config, origin, Stated(frozenset(typed), frozenset(anywhere))


def _say_notes(notes: Iterable[str]) -> None:
    for note in notes:
        console.say(f"note: {note}")


def _usual_method(config: Config) -> dict[str, Any]:
    """{"method": value} where a dataset has one of its own; else {}."""
    method = usual_method(config)
    return {"method": method} if config.mode == "pretrain" and method != Config.method else {}


def _taken_over(config: Config, explicit: dict[str, Any], start: starts.Start) -> dict[str, Any]:
    """{field: value} of what a command starts from; what does nothing there leaves `explicit`."""
    if config.mode == "evaluate" and not start.predicts_findings:
        for name in [name for name in tagged(Config, Tag.POLICY) if name in explicit]:
            console.say(f"note: --{name} does nothing without findings")
            del explicit[name]
    if start.weights:
        small = start.weights.small_stem and config.mode == "export"
        return {**start.weights.flags, **({"image_size": starts.SMALL_STEM} if small else {})}
    return inheritance.inherited(config, explicit, start.config) if start.config else {}


def _placed(config: Config, start: starts.Start, may_be_older: bool) -> Config:
    """A config with the run directory that a command without one has.

    Args:
      config: `Config`.
      start: `Start`.
      may_be_older: whether an unfinished run of the usual method, where earlier versions began it
        by the same command, goes on instead: they took MICLe for chest X-rays too.
    """
    weights = start.weights.name if start.weights else ""
    place = lambda config: config.replace(
        model_dir=default_model_dir(config, start.config, weights)
    )
    config, earlier = place(config), place(config.replace(method=Config.method))
    is_begun = may_be_older and inheritance.run_there(earlier)
    if not is_begun or inheritance.run_there(config) or is_finished(earlier.model_dir):
        return config
    console.say(
        f"note: goes on with the unfinished run in {earlier.model_dir}; --method={config.method} "
        f"starts one in {config.model_dir}"
    )
    return earlier


def _say_what_gives_way(config: Config, explicit: Mapping[str, Any], suited: "_Suited") -> None:
    """Notes the shapes of a recipe, or of a preset, that are not those of the weights."""
    names = tagged(
        config, Tag.ENCODER | (Tag.PROJECTION if config.mode == "pretrain" else Tag.NONE)
    )
    names = [name for name in names if name not in explicit]
    stated = {**suited.preset_values, **suited.recipe}
    other = [n for n in names if n in stated and stated[n] != getattr(config, n)]
    if other:
        shown = " ".join(f"--{name}={getattr(config, name):g}" for name in other)
        console.say(f"note: as the weights are: {shown}")


def _refuse_dry_run(config: Config) -> None:
    if config.dry_run and config.otherwise("dry_run"):
        raise BadInput(
            f"--dry_run: --mode={config.mode} has none; prepare, pretrain, finetune and study "
            "have. Nothing was done"
        )


class _Suited(typing.NamedTuple):
    """Settings that nobody typed, but that suit the data (a recipe) or the machine (a preset).

    Attributes:
      recipe: {field: value}.
      preset_values: {field: value}, `preset` itself among them where the mode has one.
      origin: "recipe flags/..."; "" without.
      why: beside the preset, why it is taken.
      notes: a line each on what the recipe states and does nothing.
    """

    recipe: dict[str, Any]
    preset_values: dict[str, Any]
    origin: str
    why: str = ""
    notes: tuple[str, ...] = ()

    def described(self, config: Config) -> str:
        """Where the settings of a config come from: recipe, preset and its flags that hold."""
        preset = self.preset_values.get("preset")
        if not preset or (preset == "paper" and self.origin):
            return self.origin
        flags = [
            f"--{name}={console.flag_value(value)}"
            for name, value in self.preset_values.items()
            if name != "preset" and getattr(config, name) == value
        ]
        text = f"preset {preset}{self.why}: {' '.join(flags) or 'the defaults of --help'}"
        return f"{self.origin}, {text}" if self.origin else text


def _suited(
    config: Config,
    explicit: Mapping[str, Any],
    flagfiles: Sequence[str],
    source: Config | None,
    in_simclrs_words: bool = False,
) -> _Suited:
    """The recipe, the preset, or both, that a command goes by.

    A recipe that is named on the line counts, with the defaults for what it does not name, or
    with the preset that is typed beside it. Else a preset that is typed, or that the run in
    --checkpoint had, counts in place of the dataset's own recipe; then that recipe; then what
    suits the machine or, of a command in SimCLR's words, SimCLR's own defaults.

    Args:
      config: `Config` of what is given so far.
      explicit: {field: value} of the command line.
      flagfiles: recipes that it names.
      source: `Config` of the run in --checkpoint; None without.
      in_simclrs_words: whether the command is written as SimCLR's are.
    """
    recipe, notes, origin, needs_accelerator = recipes.recipe_of(
        config, flagfiles, in_simclrs_words
    )
    typed = explicit.get("preset", "auto")
    preset = typed if typed != "auto" else recipe.pop("preset", "auto")
    if config.mode not in presets.MODES:
        return _Suited(recipe, {}, origin, notes=notes)
    if not flagfiles and preset == "auto" and source and presets.of_run(source.preset) != "paper":
        preset = source.preset
    devices = config.part(Devices)
    here = lambda: presets.used_by(devices, presets.accelerators())
    why = ""
    if flagfiles:
        preset = "paper" if preset == "auto" else preset
    elif preset != "auto":
        recipe, origin = {}, ""
    elif recipe:
        preset = "paper"
        if needs_accelerator and not source:
            preset = presets.of_machine(devices, here)
            if preset == "laptop":
                flagfile = f"--flagfile={origin.removeprefix('recipe ')}"
                why = f", as {flagfile} is for accelerators and here is none (typed, it is taken)"
                recipe, origin = {}, ""
            else:
                preset = "paper"
    else:
        preset = "paper" if source else presets.of_machine(devices, here)
    values = presets.flags(preset, config.mode, here)
    if "train_epochs" in explicit:  # which a number of steps would beat
        for settings in (recipe, values):
            settings.pop("train_steps", None)
    return _Suited(recipe, {**values, "preset": preset}, origin, why, notes)


def _as_prepared(config: Config, stated: Collection[str]) -> Config:
    """A config with what was noted when its dataset was prepared; what is stated stays."""
    names = dataset_names(config)
    # Each of several has a note of its own, and of the others there is none.
    if len(names) > 1 or not (is_own(names[0]) and takes_manual_dir(names[0])):
        return config
    return places.as_prepared(config, names[0], stated)


def usual(mode: str, **given: Any) -> Config:
    """The Config of a mode's command that says only what is `given`: with what suits its data."""
    method = _usual_method(Config.of_mode(mode, **given))
    suited = _suited(Config.of_mode(mode, **method | given), given, (), None)
    given = {name: value for name, value in given.items() if name != "preset"}
    return Config.of_mode(mode, **method | suited.preset_values | suited.recipe | given)


def _study(line: Parsed) -> None:
    """Many commands in one: --mode=study."""
    config = Config.of_mode(**line.values)
    _check_system(config)
    _say_notes(line.notes)
    if line.flagfiles:
        raise BadInput("--flagfile: not with --mode=study, whose file has flags in its stages")
    study = importlib.import_module("micle_tf.modes.study").study
    study(config, {n: v for n, v in line.values.items() if n != "mode"}, Commands)


class Commands:
    """A command of a study, which run in this process one after the other.

    Args:
      argv: its words.
      decided: those of them that a machine decided and nobody stated: such a batch may be cut.
    """

    def __init__(self, argv: list[str], decided: Collection[str] = ()) -> None:
        self.config, self._origin, stated = _decided(argv)
        free = (
            {"train_batch_size"} if any(w.startswith("--train_batch") for w in decided) else set()
        )
        self._stated = Stated(stated.typed - free, stated.anywhere - free)

    @property
    def machine(self) -> Machine:
        """What the command lets this machine decide."""
        recipe = self._origin.removeprefix("recipe ").partition(",")[0]
        is_one = self._origin.startswith("recipe ")
        return Machine(self.config.preset, self.config.train_batch_size, recipe * is_one)

    def choose_kernels(self) -> None:
        """Before TensorFlow is loaded: those of the run."""
        _choose_kernels(self.config)
        if not self.config.tensorflow_log:
            quiet.quiet_loggers()

    def run(self) -> Any:
        """What the mode's function returns."""
        console.say(f"micle-tf: {self.config.mode}{self._origin and ', '}{self._origin}")
        _STATED.set(self._stated)
        return _call_mode(self.config)


def _run_mode(config: Config) -> None:
    """Calls the function that has the mode's name, and says what to type next."""
    result = _call_mode(config)
    if config.mode == "prepare" or not config.dry_run:
        next_steps.AFTER[config.mode](config, result, usual)


def _call_mode(config: Config) -> Any:
    if config.mode != "prepare":
        check_place(config.model_dir, "--model_dir")  # before data is prepared for nothing
    run = getattr(importlib.import_module(f"micle_tf.modes.{config.mode}"), config.mode)
    return run(config, _STATED.get()) if config.mode in TRAIN else run(config)


def _choose_kernels(config: Config) -> None:
    """Tells TensorFlow which kernels to take, if it is not loaded yet; see `check_kernels`."""
    if not config.otherwise("cpu_kernels") and config.cpu_kernels == "onednn":
        if "tensorflow" not in sys.modules:
            os.environ[ONEDNN] = os.environ[_CHOSEN] = "1"
    elif os.environ.pop(_CHOSEN, ""):  # by an earlier command of this process, or its parent
        os.environ.pop(ONEDNN, None)


def _choose_kernels_early(
    config: Config, explicit: Mapping[str, Any], flagfiles: Sequence[str], in_simclrs_words: bool
) -> None:
    """`_choose_kernels`, before what decides the rest is read by TensorFlow: weights of others.

    Args:
      config: `Config` of the command line alone.
      explicit, flagfiles, in_simclrs_words: as of `_suited`.
    """
    if not starts.needs_tensorflow(config.checkpoint):
        return
    suited = _suited(config, explicit, flagfiles, None, in_simclrs_words)
    given = {name: value for name, value in explicit.items() if name != "preset"}
    there = inheritance.run_there(config) if config.model_dir else None
    kept = {"cpu_kernels": there.cpu_kernels} if there else {}
    values = suited.preset_values | suited.recipe | kept | given
    _choose_kernels(Config.of_mode(config.mode, **values))


def _check_system(config: Config) -> None:
    """Raises BadInput where the system lacks what every mode stands on."""
    for name, use in (("fcntl", "locks of files"), ("resource", "limits of open files")):
        try:
            __import__(name)
        except ImportError:
            raise BadInput(
                f"--mode={config.mode}: this system has no {name} ({use}); runs want Linux, macOS "
                "or Windows' subsystem for Linux"
            ) from None
