"""MICLe on and off: the variants of a study that are alike but for it.

Work is divided, not added: SimCLR of 700 steps is the pair of SimCLR of 350, then MICLe of 350.
"""

import itertools
from typing import Any

from micle_tf.config import Config
from micle_tf.config.modes import PRETRAIN
from micle_tf.settings import Tag, tagged
from micle_tf.study.entries import FLAGS
from micle_tf.study.specification import Study


def micle_pairs(study: Study) -> list[tuple[str, str]]:
    """(off, on) for each variant with MICLe and the first one without that is otherwise alike.

    Alike are variants that are judged by the same stage and on the same other data, start from the
    same weights, and before they are judged are trained in the same modes, with the same methods
    and on the same data, in the same order. Stages of MICLe do not count there, and several in a
    row that are the same in all this count as one.

    Returns:
      Names of variants as the file has them, in its order.
    """
    off = [variant for variant in study.variants if not _with_micle(study, variant)]
    found = []
    for on in study.variants:
        alike = next((one for one in off if _rest(study, one) == _rest(study, on)), "")
        if on not in off and alike:
            found.append((alike, on))
    return found


def _with_micle(study: Study, variant: str) -> bool:
    return any(_is_micle(study.flags(stage)) for stage in study.variants[variant])


def _is_micle(flags: dict[str, Any]) -> bool:
    method = flags.get("method", FLAGS["method"].default)
    return flags["mode"] in PRETRAIN and method == "micle"


def _rest(study: Study, variant: str) -> tuple[Any, ...]:
    """All of a variant but MICLe: what it starts from, is trained and judged by, and transfers."""
    chain, judged = study.variants[variant], study.judged_stage(variant)
    before = [study.flags(stage) for stage in chain[: chain.index(judged)]]
    kinds = [_kind(flags) for flags in before if not _is_micle(flags)]
    trained = [kind for kind, _ in itertools.groupby(kinds)]
    return study.stages[chain[0]].get("checkpoint"), trained, judged, study.transfers(variant)


def _kind(flags: dict[str, Any]) -> tuple[Any, ...]:
    """Mode, method and data of a stage."""
    data = tuple(flags.get(name) for name in tagged(Config, Tag.NAMES_DATA))
    return flags["mode"], flags.get("method"), data
