"""LARS, SGD with L2, and SimCLR's learning rates, as Keras optimizers and schedules.

The optimizers choose variables by rank and by `variable.path`, never by `variable.name`, which in
Keras 3 is only "kernel" or "gamma". They keep their weight decay to themselves: the one of
Keras's base class is decoupled from the gradient and would be applied on top.
"""

import math
import numbers
import re
from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import ops

from micle_tf import borrowed
from micle_tf.tensors import Tensor, is_a

# A number, a schedule, or a function of nothing.
LearningRate = float | Callable[..., Any]

# Path of a batch norm's trainable variables.
BATCH_NORM_PATH = r"/(gamma|beta)$"


def scaled_learning_rate(learning_rate: float, batch_size: int, scaling: str) -> float:
    """SimCLR's learning rate for a batch size (`learning_rate_scaling`).

    Args:
        learning_rate: base rate, at least 0.
        batch_size: over all replicas; pairs in pretraining, at least 1.
        scaling: "linear": base * batch_size / 256; "sqrt": base * sqrt(batch_size), SimCLRv2's,
            better for small batches; "none": base.

    Returns:
        The rate as a float.

    Raises:
        ValueError: on a value outside the ranges above.
    """
    _check("learning_rate", learning_rate)
    _check("batch_size", batch_size, low=1)
    factors = {"linear": batch_size / 256, "sqrt": math.sqrt(batch_size), "none": 1.0}
    if scaling not in factors:
        raise ValueError(f"scaling must be one of {', '.join(factors)}, got {scaling!r}")
    return learning_rate * factors[scaling]


@keras.saving.register_keras_serializable("micle_tf")
class WarmupCosine(keras.optimizers.schedules.LearningRateSchedule):
    """Linear warm-up from 0, then half a cosine down to 0 (google-research/simclr).

    With s the step, counted from 0, w = `warmup_steps` and t = `total_steps`, the rate is

        base * s / w                                          if s < w
        base * (1 + cos(pi * min(s - w, t - w) / (t - w))) / 2   otherwise

    so that with a warm-up the first step changes nothing, and step t and all later ones neither.

    Args:
        base_learning_rate: rate at the end of the warm-up, at least 0.
        warmup_steps: integer, 0 to `total_steps` - 1.
        total_steps: integer, at least 1.

    Raises:
        ValueError: on a value outside the ranges above.
    """

    def __init__(self, base_learning_rate: float, warmup_steps: int, total_steps: int) -> None:
        _check("base_learning_rate", base_learning_rate)
        for name, steps in (("warmup_steps", warmup_steps), ("total_steps", total_steps)):
            if not is_a(steps, numbers.Integral):
                raise ValueError(f"{name} must be an integer, got {steps!r}")
        if not 0 <= warmup_steps < total_steps:
            raise ValueError(
                f"warmup_steps must lie in [0, total_steps), got {warmup_steps} of {total_steps}"
            )
        self.base_learning_rate = float(base_learning_rate)
        self.warmup_steps = int(warmup_steps)
        self.total_steps = int(total_steps)

    def __call__(self, step: Tensor) -> Tensor:
        step = ops.cast(step, keras.config.floatx())
        warmup = step / max(self.warmup_steps, 1)
        progress = (step - self.warmup_steps) / (self.total_steps - self.warmup_steps)
        decay = (1 + ops.cos(math.pi * ops.minimum(progress, 1.0))) / 2
        return self.base_learning_rate * ops.where(step < self.warmup_steps, warmup, decay)

    def get_config(self) -> dict[str, Any]:
        return {
            "base_learning_rate": self.base_learning_rate,
            "warmup_steps": self.warmup_steps,
            "total_steps": self.total_steps,
        }


@keras.saving.register_keras_serializable("micle_tf")
class LARS(keras.optimizers.Optimizer):
    """Layer-wise adaptive rate scaling (You et al., 2017), in the form SimCLR trains with.

    For a variable w with gradient g, at learning rate lr:

        g = g + weight_decay * w
        g = g * eta * |w| / |g|                 (1 in place of the ratio if a norm is 0)
        v = momentum * v + lr * g
        w = w - v                               (nesterov: w - (momentum * v + lr * g))

    The first two lines are left out for variables of rank 0 and 1 (biases, batch norm) and for
    those that `exclude` names. The rate stands inside the momentum, as in google-research/simclr
    and optax, so a change of rate reaches v by degrees.

    One difference: google-research/simclr excludes its supervised head and adds the decay of its
    kernel to the loss. Here all weight decay is in the optimizer: a head that `exclude` does not
    name is decayed and adapted like other kernels, and one that it names is neither.

    Args:
        learning_rate: number of at least 0, schedule, or callable.
        momentum: in [0, 1].
        weight_decay: at least 0, in units of the gradient per unit of weight.
        eta: trust coefficient, positive.
        nesterov: whether to look ahead by one step of momentum.
        exclude: regular expressions, searched for in `variable.path`.
        name: name of the optimizer.
        **kwargs: Keras's options for any optimizer, such as `global_clipnorm`.

    Raises:
        ValueError: on a value outside the ranges above, or an invalid expression.
    """

    def __init__(
        self,
        learning_rate: LearningRate,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        eta: float = 0.001,
        nesterov: bool = False,
        exclude: Sequence[str] = (),
        *,
        name: str = "LARS",
        **kwargs: Any,
    ) -> None:
        rate, momentum, decay, exclude = _checked(learning_rate, momentum, weight_decay, exclude)
        if not (is_a(eta, numbers.Real) and 0 < eta < math.inf):
            raise ValueError(f"eta must be a positive number, got {eta!r}")
        super().__init__(learning_rate=rate, name=name, **kwargs)
        self.momentum, self.decay, self.exclude = momentum, decay, exclude
        self.eta = float(eta)
        self.nesterov = bool(nesterov)

    def build(self, variables: list[Any]) -> None:
        if self.built:
            return
        super().build(variables)
        self.momentums = self.add_optimizer_variables(variables, "momentum")
        # By position: Keras hands its variables to `update_step` without their paths.
        self._adapted = tuple(
            len(variable.shape) > 1 and not _matches(variable, self.exclude)
            for variable in variables
        )

    def update_step(self, gradient: Tensor, variable: Tensor, learning_rate: Tensor) -> None:
        rate = ops.cast(learning_rate, variable.dtype)
        gradient = ops.cast(gradient, variable.dtype)
        index = borrowed.index_of(self, variable)
        if self._adapted[index]:
            gradient = gradient + self.decay * variable
            gradient = gradient * self._trust_ratio(variable, gradient)
        velocity = self.momentum * self.momentums[index] + rate * gradient
        self.assign(self.momentums[index], velocity)
        step = self.momentum * velocity + rate * gradient if self.nesterov else velocity
        self.assign_sub(variable, step)

    def _trust_ratio(self, variable: Tensor, gradient: Tensor) -> Tensor:
        weight_norm, gradient_norm = _norm(variable), _norm(gradient)
        usable = ops.logical_and(weight_norm > 0, gradient_norm > 0)
        return ops.where(usable, self.eta * weight_norm / gradient_norm, 1.0)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "momentum": self.momentum,
            "weight_decay": self.decay,
            "eta": self.eta,
            "nesterov": self.nesterov,
            "exclude": list(self.exclude),
        }


@keras.saving.register_keras_serializable("micle_tf")
class SGDL2(keras.optimizers.SGD):
    """SGD with momentum and L2 regularisation: Keras's SGD on `g + weight_decay * w`.

    This is the gradient of google-research/simclr's loss with its other optimizers, which adds
    `weight_decay / 2 * |w|^2` over all trainable variables but batch norm; biases are decayed.
    The `weight_decay` of `keras.optimizers.SGD` is another one: it bypasses the momentum.

    Args:
        learning_rate: number of at least 0, schedule, or callable.
        momentum: in [0, 1].
        weight_decay: at least 0, in units of the gradient per unit of weight.
        nesterov: whether to look ahead by one step of momentum; google-research/simclr does.
        exclude: regular expressions, searched for in `variable.path`, of variables that are not
            decayed. The default names the scale and offset of normalisation layers.
        name: name of the optimizer.
        **kwargs: Keras's options for any optimizer, such as `global_clipnorm`.

    Raises:
        ValueError: on a value outside the ranges above, or an invalid expression.
    """

    def __init__(
        self,
        learning_rate: LearningRate,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        nesterov: bool = False,
        exclude: Sequence[str] = (BATCH_NORM_PATH,),
        name: str = "SGDL2",
        **kwargs: Any,
    ) -> None:
        rate, momentum, decay, exclude = _checked(learning_rate, momentum, weight_decay, exclude)
        super().__init__(
            learning_rate=rate, momentum=momentum, nesterov=bool(nesterov), name=name, **kwargs
        )
        self.decay, self.exclude = decay, exclude

    def build(self, variables: list[Any]) -> None:
        if self.built:
            return
        super().build(variables)
        self._decayed = tuple(not _matches(variable, self.exclude) for variable in variables)

    def update_step(self, gradient: Tensor, variable: Tensor, learning_rate: Tensor) -> None:
        if self._decayed[borrowed.index_of(self, variable)]:
            gradient = ops.cast(gradient, variable.dtype) + self.decay * variable
        super().update_step(gradient, variable, learning_rate)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "weight_decay": self.decay,
            "exclude": list(self.exclude),
        }


def _check(name: str, value: float, low: float = 0, high: float = math.inf) -> None:
    if not (is_a(value, numbers.Real) and low <= value <= high and math.isfinite(value)):
        limits = f"of at least {low}" if high == math.inf else f"in [{low}, {high}]"
        raise ValueError(f"{name} must be a finite number {limits}, got {value!r}")


def _checked(
    learning_rate: LearningRate, momentum: float, weight_decay: float, exclude: Sequence[str]
) -> tuple[LearningRate, float, float, tuple[str, ...]]:
    """What both optimizers are given, as they keep it; raises ValueError."""
    _check("momentum", momentum, high=1)
    _check("weight_decay", weight_decay)
    return _rate(learning_rate), float(momentum), float(weight_decay), _patterns(exclude)


def _rate(learning_rate: LearningRate) -> LearningRate:
    """Checks a constant rate and makes it the float that Keras insists on."""
    if callable(learning_rate):
        return learning_rate
    _check("learning_rate", learning_rate)
    return float(learning_rate)


def _patterns(exclude: Sequence[str]) -> tuple[str, ...]:
    if isinstance(exclude, str):
        raise ValueError(f"exclude must be a sequence of regular expressions, got {exclude!r}")
    for pattern in exclude:
        try:
            re.compile(pattern)
        except re.error as error:
            raise ValueError(f"exclude holds an invalid expression, {pattern!r}: {error}") from None
    return tuple(exclude)


def _matches(variable: Tensor, patterns: Sequence[str]) -> bool:
    return any(re.search(pattern, variable.path) for pattern in patterns)


def _norm(x: Tensor) -> Tensor:
    """Euclidean norm over all entries; `ops.norm` takes no tensors of rank above 2."""
    return ops.sqrt(ops.sum(ops.square(x)))
