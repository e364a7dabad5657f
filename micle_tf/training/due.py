"""What is due after which step of a training: a pure function, so that all workers agree on it."""

import dataclasses
import math
import typing


class Due(typing.NamedTuple):
    """What is to be done after a step, in this order."""

    validate: bool
    log: bool
    save: bool
    stop: bool


@dataclasses.dataclass(frozen=True)
class Calendar:
    """When what is due.

    Attributes:
      total_steps: length of the run.
      log_every: steps.
      save_every: steps; None for none.
      save_seconds: seconds since the last checkpoint after which one is due; None for never.
      validate_every: steps; None for never.
      chooses: whether a validation may choose the best checkpoint.
      periods: numbers of steps, at whose multiples a call of several steps has to end too.
      moments: other such numbers of steps.
    """

    total_steps: int
    log_every: int
    save_every: int | None = None
    save_seconds: float | None = None
    validate_every: int | None = None
    chooses: bool = False
    periods: tuple[int, ...] = ()
    moments: tuple[int, ...] = ()

    def after(self, step, seconds_since_save, stopping):
        """`Due` of a step.

        Args:
          step: steps taken so far, at least 1.
          seconds_since_save: since the last checkpoint.
          stopping: somebody asked for a stop. A validation may take long, and is left out then:
            its step is not saved, and taken again.
        """
        last = step == self.total_steps
        validate = bool(self.validate_every) and (last or step % self.validate_every == 0)
        if stopping and validate:
            return Due(validate=False, log=False, save=False, stop=True)
        save = last or stopping or _is_multiple(step, self.save_every)
        save |= self.save_seconds is not None and seconds_since_save >= self.save_seconds
        save |= self.chooses and validate  # so that there is no doubt what was best when
        save |= self._steps_to_validation(step) == 1  # a stop while it goes on costs one step
        log = step == 1 or last or validate or _is_multiple(step, self.log_every)
        return Due(validate=validate, log=log, save=save, stop=stopping)

    def steps_until_due(self, step, most=math.inf):
        """How many steps may be taken in a row after `step`, up to `most`; at least 1."""
        periods = [self.log_every, self.save_every, self.validate_every, *self.periods]
        to_event = _steps_to(step, periods, [1, self.total_steps, *self.moments])
        return min(most, to_event, max(self._steps_to_validation(step) - 1, 1))

    def _steps_to_validation(self, step):
        if not self.validate_every:
            return math.inf
        return _steps_to(step, [self.validate_every], [self.total_steps])


def _is_multiple(step, period):
    return bool(period) and step % period == 0


def _steps_to(step, periods, moments):
    """Steps to the next multiple of a period or the next moment; infinity without any."""
    away = [period - step % period for period in periods if period]
    away += [moment - step for moment in moments if moment > step]
    return min(away, default=math.inf)
