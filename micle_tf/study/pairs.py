"""MICLe on and off: the variants of a study that are alike but for it.

Work is divided, not added: SimCLR of 700 steps is the pair of SimCLR of 350, then MICLe of 350.
"""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from micle_tf import recipes
from micle_tf.config import Config
from micle_tf.config.modes import PRETRAIN
from micle_tf.dataset_names import usual_method
from micle_tf.settings import Tag, tagged
from micle_tf.study.runs import Planned
from micle_tf.study.specification import DECIDED, Study

_Stages = Mapping[str, Mapping[str, Any]]


def micle_pairs(study: Study, runs: Sequence[Planned]) -> list[tuple[str, str]]:
    """(off, on) for each variant with MICLe and one without that is otherwise alike.

    Alike are variants that are judged with the same flags and on the same other data, start from
    the same weights, and before they are judged are trained in the same modes, with the same
    methods and on the same data, in the same order. Stages of MICLe do not count there, and several
    in a row that are the same in all this count as one. Of several, the first whose stages of
    training state as many steps in all is taken or, without one, the first.

    Args:
      study: `Study`.
      runs: of it, whose flags have what is typed too.

    Returns:
      Names of variants as the file has them, in its order.
    """
    stages = {run.stage: run.flags for run in reversed(runs) if run.kind != "grid"}
    off = [variant for variant in study.variants if not _with_micle(study, variant, stages)]
    found = []
    for on in study.variants:
        alike = [one for one in off if _rest(study, one, stages) == _rest(study, on, stages)]
        if on not in off and alike:
            work = _steps(study, on, stages)
            equal = (one for one in alike if _steps(study, one, stages) == work)
            found.append((next(equal, alike[0]), on))
    return found


def _with_micle(study: Study, variant: str, stages: _Stages) -> bool:
    return any(_method(stages[stage]) == "micle" for stage in study.variants[variant])


def _method(flags: Mapping[str, Any]) -> str:
    """How a stage pretrains, also where it leaves that to its data; "" where it does not."""
    if flags["mode"] not in PRETRAIN:
        return ""
    if "method" in flags:
        return str(flags["method"])
    config = Config.of_mode(**flags)
    return str(recipes.recipe_of(config, ()).values.get("method", usual_method(config)))


def _before(study: Study, variant: str, stages: _Stages) -> list[Mapping[str, Any]]:
    """The flags of what is trained before a variant is judged."""
    chain = study.variants[variant]
    return [stages[stage] for stage in chain[: chain.index(study.judged_stage(variant))]]


def _rest(study: Study, variant: str, stages: _Stages) -> tuple[Any, ...]:
    """All of a variant but MICLe: what it starts from, is trained and judged by, and transfers."""
    judged = study.judged_stage(variant)
    kinds = [_kind(flags) for flags in _before(study, variant, stages)]
    trained = [kind for kind, _ in itertools.groupby(kind for kind in kinds if kind[1] != "micle")]
    first = study.variants[variant][0]
    start = study.weights.get(first) or stages[first].get("checkpoint")
    flags = stages[judged]
    judging = {name: value for name, value in flags.items() if name not in DECIDED}
    return start, trained, flags["mode"], judging, study.grid.get(judged), study.transfers(variant)


def _kind(flags: Mapping[str, Any]) -> tuple[Any, ...]:
    """Mode, method and data of a stage."""
    data = tuple(flags.get(name) for name in tagged(Config, Tag.NAMES_DATA))
    return flags["mode"], _method(flags), data


def _steps(study: Study, variant: str, stages: _Stages) -> tuple[Any, ...]:
    """The steps of all pretrainings together; who states none for one is equal to who does not."""
    each = [one.get("train_steps", 0) for one in _before(study, variant, stages)]
    return sum(each), all(each)
