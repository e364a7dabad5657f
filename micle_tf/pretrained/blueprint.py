"""What an encoder is made of, and which encoder some named tensors are of.

Names are those of our variables, as `block_group1_unit0_conv1/kernel`; `models/resnet.py` builds
what is listed here, and the order of the layers is that of SimCLR's calls.
"""

import collections
import dataclasses
import re
from collections.abc import Callable, Iterator, Mapping
from typing import TypeAlias

from micle_tf.models.resnet import BASIC, BOTTLENECK, DEPTHS, channels, se_hidden, sk_hidden

Shape: TypeAlias = tuple[int, ...]

SIMCLR_SK_RATIO = 0.0625  # of every published network with selective kernels


class NoResNet(Exception):
    """Tensors that are of no encoder of ours; the message says why, without a full stop."""


@dataclasses.dataclass(frozen=True)
class Architecture:
    """The arguments of `resnet_encoder`, but for the image size: of that, which stem it asks for.

    `channels` are those of the images, 3 for colour.
    """

    depth: int
    width_multiplier: float = 1
    sk_ratio: float = 0.0
    se_ratio: float = 0.0
    small_stem: bool = False
    channels: int = 3

    @property
    def feature_dim(self) -> int:
        """The width of the pooled features."""
        kind, _ = DEPTHS[self.depth]
        return channels(512, self.width_multiplier) * _expansion(kind)

    def __str__(self) -> str:
        text = f"ResNet-{self.depth} {self.width_multiplier:g}x"
        if self.sk_ratio:
            text += f", sk_ratio {self.sk_ratio:g}"
        if self.se_ratio:
            text += f", se_ratio {self.se_ratio:g}"
        return text + (", small stem" if self.small_stem else "")


def tensors(architecture: Architecture) -> dict[str, Shape]:
    """{name: shape} of every variable of an encoder, layer by layer in the order of the calls."""
    return {
        f"{layer}/{variable}": shape
        for layer, variables in layers(architecture)
        for variable, shape in variables.items()
    }


def layers(architecture: Architecture) -> Iterator[tuple[str, dict[str, Shape]]]:
    """The layers with variables, as (name, {variable: shape}), in the order of the calls.

    A shortcut comes before the main path of its unit, as in SimCLR's code.
    """
    kind, units = DEPTHS[architecture.depth]
    width = channels(64, architecture.width_multiplier)
    yield from _stem(architecture, width)
    for group, count in enumerate(units, start=1):
        filters = channels(32 * 2**group, architecture.width_multiplier)
        outputs = filters * _expansion(kind)
        for index in range(count):
            place = f"block_group{group}_unit{index}"
            if index == 0:
                yield from _conv_norm(place + "_shortcut_{}", 1, width, outputs)
            if kind == BASIC:
                yield from _conv_norm(place + "_{}1", 3, width, filters)
                yield from _conv_norm(place + "_{}2", 3, filters, filters)
            else:
                yield from _conv_norm(place + "_{}1", 1, width, filters)
                yield from _middle(place, filters, architecture.sk_ratio)
                yield from _conv_norm(place + "_{}3", 1, filters, outputs)
            if architecture.se_ratio > 0:
                hidden = se_hidden(filters, architecture.se_ratio)
                yield _conv(f"{place}_se_conv1", 1, outputs, hidden, bias=True)
                yield _conv(f"{place}_se_conv2", 1, hidden, outputs, bias=True)
            width = outputs


def infer(shapes: Mapping[str, Shape], resnet_d: bool = False) -> Architecture:
    """Which encoder has tensors of these names and shapes, as far as it can be told.

    Depth comes from the units of each group, the width from the stem, the ratios from the
    hidden layers. Where several sk_ratios give the same network, SimCLR's 0.0625 is taken.

    Args:
        shapes: {name: shape}.
        resnet_d: there are ResNet-D shortcuts, which in basic units have no tensors of their own.

    Raises:
        NoResNet: there is no stem, or no depth has such groups.
    """
    if "initial_conv/kernel" not in shapes or len(shapes["initial_conv/kernel"]) != 4:
        raise NoResNet("there is no convolution of a stem")
    stem = shapes["initial_conv/kernel"]
    units = _units(shapes)
    kind = BOTTLENECK if any(name.endswith("_conv3/kernel") for name in shapes) else BASIC
    depths = [depth for depth, layout in DEPTHS.items() if layout == (kind, units)]
    if not depths:
        counts = ", ".join(map(str, units)) or "no"
        raise NoResNet(f"its groups have {counts} {kind} units, which is none of the depths")
    first = "initial_conv1/kernel" if "initial_conv1/kernel" in shapes else "initial_conv/kernel"
    # Selective kernels come with ResNet-D stems and shortcuts; basic units have those alone.
    resnet_d = resnet_d or first == "initial_conv1/kernel"
    width = _width(shapes)
    hidden = {part: _hidden(shapes, f"_{part}_conv1/kernel", width) for part in ("sk", "se")}
    sk_ratio = se_ratio = 0.0
    if resnet_d or hidden["sk"]:
        sk_ratio = _ratio(hidden["sk"], sk_hidden)
    if hidden["se"]:
        se_ratio = _ratio(hidden["se"], se_hidden)
    return Architecture(
        depths[0],
        width,
        sk_ratio,
        se_ratio,
        small_stem=stem[0] == 3 and first == "initial_conv/kernel",
        channels=shapes[first][-2],
    )


def _units(shapes: Mapping[str, Shape]) -> tuple[int, ...]:
    """How many units the groups have, from the first group to the last."""
    found: dict[int, set[int]] = collections.defaultdict(set)
    for name in shapes:
        if match := re.match(r"block_group(\d+)_unit(\d+)_", name):
            found[int(match[1])].add(int(match[2]))
    return tuple(len(found[group]) for group in sorted(found))


def _width(shapes: Mapping[str, Shape]) -> float:
    """The width multiplier of few digits that gives stem and groups what they have."""
    found = [(64, shapes["initial_conv/kernel"][-1])]
    for group in (1, 2, 3, 4):
        if outputs := _outputs(shapes, f"block_group{group}_unit0_conv1/kernel"):
            found.append((32 * 2**group, outputs))
    exact = [count / base for base, count in reversed(found)]
    rounded = [round(width, digits) for digits in (0, 1, 2) for width in exact]
    for width in (*rounded, exact[-1], *(round(width, 3) for width in exact), *exact):
        if all(channels(base, width) == count for base, count in found):
            return int(width) if float(width).is_integer() else width
    return found[0][1] / 64  # the comparison of shapes then says what does not fit


def _hidden(shapes: Mapping[str, Shape], ending: str, width: float) -> dict[int, int]:
    """{filters of a group: width of the hidden layer of its first unit}."""
    found = {}
    for group in (1, 2, 3, 4):
        if outputs := _outputs(shapes, f"block_group{group}_unit0{ending}"):
            found[channels(32 * 2**group, width)] = outputs
    return found


def _outputs(shapes: Mapping[str, Shape], name: str) -> int:
    """The channels that a convolution puts out; 0 if it is none."""
    shape = shapes.get(name, ())
    return shape[-1] if len(shape) == 4 else 0


def _ratio(hidden: dict[int, int], width_of: Callable[[int, float], int]) -> float:
    """A ratio with which `width_of` gives the widths that are there.

    SimCLR's if it does, else one of few digits.
    """
    if not hidden:
        return SIMCLR_SK_RATIO
    filters, width = max(hidden.items())
    exact = (width / filters, (width + 0.5) / filters)  # widths are rounded down
    rounded = [round(ratio, digits) for digits in (1, 2, 3) for ratio in exact]
    for ratio in (SIMCLR_SK_RATIO, *rounded, *exact):
        if 0 < ratio <= 1 and all(width_of(f, ratio) == w for f, w in hidden.items()):
            return ratio
    return min(exact[0], 1.0)  # the comparison of shapes then says what does not fit


def _expansion(kind: str) -> int:
    return 4 if kind == BOTTLENECK else 1


def _stem(a: Architecture, width: int) -> Iterator[tuple[str, dict[str, Shape]]]:
    if a.small_stem:
        yield from _conv_norm("initial_{}", 3, a.channels, width)
    elif a.sk_ratio > 0:
        half = max(1, width // 2)
        yield from _conv_norm("initial_{}1", 3, a.channels, half)
        yield from _conv_norm("initial_{}2", 3, half, half)
        yield from _conv_norm("initial_{}", 3, half, width)
    else:
        yield from _conv_norm("initial_{}", 7, a.channels, width)


def _middle(place: str, filters: int, sk_ratio: float) -> Iterator[tuple[str, dict[str, Shape]]]:
    """The 3x3 convolution of a bottleneck unit, or the selective kernel in its place."""
    if sk_ratio == 0:
        yield from _conv_norm(place + "_{}2", 3, filters, filters)
        return
    hidden = sk_hidden(filters, sk_ratio)
    yield from _conv_norm(place + "_{}2", 3, filters, 2 * filters)
    yield from _conv_norm(place + "_sk_{}1", 1, filters, hidden)
    yield _conv(f"{place}_sk_conv2", 1, hidden, 2 * filters)


def _conv_norm(
    name: str, size: int, inputs: int, outputs: int
) -> Iterator[tuple[str, dict[str, Shape]]]:
    """`name` has one gap, for the kind of the layer."""
    yield _conv(name.format("conv"), size, inputs, outputs)
    variables = ("gamma", "beta", "moving_mean", "moving_variance")
    yield name.format("norm"), {variable: (outputs,) for variable in variables}


def _conv(
    name: str, size: int, inputs: int, outputs: int, bias: bool = False
) -> tuple[str, dict[str, Shape]]:
    variables: dict[str, Shape] = {"kernel": (size, size, inputs, outputs)}
    return name, variables | ({"bias": (outputs,)} if bias else {})
