"""A study: stages, variants that are chains of them, what is compared and how often."""

import dataclasses
import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from micle_tf.config import Config
from micle_tf.config.modes import LABELS
from micle_tf.settings import Tag, tagged
from micle_tf.study import architectures
from micle_tf.study.entries import FLAGS

# Flags that the study decides, and how: of stages that are judged, and of all.
OF_JUDGED = {
    "label_fraction": "label_fractions = [0.1, 1.0] at the top of the file decides",
    "eval_split": "runs are judged on test, and those of a grid on validation",
}
DECIDED = {
    "mode": "each stage states its own",
    "model_dir": "the study's directory has a place for each run",
    "checkpoint": "a run starts from the stage before it; the first one may name weights",
    "seed": "seeds = [0, 1, 2] at the top of the file decides",
    "dry_run": "it is of a single run",
    "study": "a study is no part of another",
    **OF_JUDGED,
}
# Flags that say what is judged: which images, what their labels mean, and which classes there are.
JUDGED_ON = (*tagged(Config, Tag.DATA | Tag.POLICY), "top_classes")
_DATA = tagged(Config, Tag.DATA)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Study:
    """All that a file says. Values are of the types of their flags; tables are in its order.

    Attributes:
      name: the file's, without .toml.
      dataset, manifest: of all stages that name no data; "" where they are not stated.
      label_fractions: ascending, in (0, 1]: of the judged stages.
      seeds: the grid is tried with the first one.
      primary: the metric that variants are compared by; "" for the AUC of the highest level.
      reference: the variant that the others are compared with.
      common: {flag: value} of all stages that read it.
      stages: {stage: {flag: value}}, "mode" among them.
      variants: {variant: stages, the first one first}.
      architectures: {architecture: {flag: value}}; every variant is made with each of them. Tables
        call these as `architectures.named` does.
      weights: {stage: {architecture: checkpoint}} of stages that start from weights of others, of
        which there are as many as architectures.
      grid: {judged stage: {flag: values to try}}.
      select: {stage of the grid: metric of validation to choose by}; without: the primary one.
    """

    name: str
    dataset: str = ""
    manifest: str = ""
    label_fractions: tuple[float, ...] = (1.0,)
    seeds: tuple[int, ...] = (0,)
    primary: str = ""
    reference: str = ""
    common: dict[str, Any] = dataclasses.field(default_factory=dict)
    stages: dict[str, dict[str, Any]]
    variants: dict[str, tuple[str, ...]]
    architectures: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)
    weights: dict[str, dict[str, str]] = dataclasses.field(default_factory=dict)
    grid: dict[str, dict[str, tuple[Any, ...]]] = dataclasses.field(default_factory=dict)
    select: dict[str, str] = dataclasses.field(default_factory=dict)

    def judged_stage(self, variant: str) -> str:
        """The last stage of a variant that learns from labels: linear_eval or finetune."""
        chain = self.variants[variant]
        return [stage for stage in chain if self.stages[stage]["mode"] in LABELS][-1]

    def transfers(self, variant: str) -> tuple[str, ...]:
        """The stages behind it, which judge the same model on other data."""
        chain = self.variants[variant]
        return chain[chain.index(self.judged_stage(variant)) + 1 :]

    def named_variants(self) -> dict[str, tuple[str, ...]]:
        """The stages of each variant, by its name in tables: "micle-r50" with architectures."""
        return {
            architectures.named(variant, one): chain
            for one in self.architectures or ("",)
            for variant, chain in self.variants.items()
        }

    def reference_of(self, name: str) -> str:
        """Which of the named variants one is compared with: that of the same architecture."""
        _, architecture = architectures.parts(name, self.architectures)
        return architectures.named(self.reference, architecture)

    def with_architecture(self, architecture: str) -> "Study":
        """What is asked of one architecture: a study without any. Of "", the study itself."""
        if not architecture:
            return self
        common = self.common | self.architectures[architecture]
        starts = {stage: {"checkpoint": of[architecture]} for stage, of in self.weights.items()}
        stages = {stage: flags | starts.get(stage, {}) for stage, flags in self.stages.items()}
        return dataclasses.replace(self, common=common, stages=stages, architectures={}, weights={})

    def flags(self, stage: str) -> dict[str, Any]:
        """{flag: value} of a stage: its own and, where it has none, those of all that it reads.

        As everywhere, nothing that is said of some data is said of other data: a stage that names
        its own takes no flags of data over.
        """
        own = self.stages[stage]
        named = {name: getattr(self, name) for name in tagged(Config, Tag.NAMES_DATA)}
        stated = {name: value for name, value in named.items() if value} | self.common
        left = _DATA if own.keys() & named.keys() else ()
        taken = {
            name: value
            for name, value in stated.items()
            if name not in left and _is_read(name, own["mode"])
        }
        return {"mode": own["mode"], **taken, **own}


def combinations(grid: Mapping[str, Sequence[Any]]) -> Iterator[dict[str, Any]]:
    """Every {flag: value} of a grid, the last flag changing fastest; {} alone of no grid."""
    return (dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values()))


def _is_read(flag: str, mode: str) -> bool:
    only = FLAGS[flag].metadata["only"]
    return not only or mode in only
