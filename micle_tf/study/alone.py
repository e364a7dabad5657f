"""A run of a study looked at before anything is there that it would start from."""

import contextlib
import io
from collections.abc import Callable
from typing import Any

from micle_tf.errors import BadInput
from micle_tf.study.directory import StudyDirectory
from micle_tf.study.runs import Planned, command


def prepared(
    directory: StudyDirectory, run: Planned, commands: Callable[[list[str]], Any], *more: str
) -> Any:
    """The command of a run as if it were alone: from no other, and nowhere in particular.

    Args:
      directory: `StudyDirectory`.
      run: of the study.
      commands: `cli.Commands`.
      *more: further words of its command line.

    Returns:
      What `commands` makes of the words; nothing of it has run.

    Raises:
      BadInput: what its stage states cannot be, as encoder and weights that do not fit.
    """
    first, *rest = command(run, "", {})
    words = [first, *directory.decided(run), *rest]
    kept = [w for w in words if not w.startswith(("--model_dir=", "--checkpoint="))]
    start = [f"--checkpoint={run.flags['checkpoint']}"] if "checkpoint" in run.flags else []
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # its notes come when it runs
            return commands([*kept, *start, *more])
    except BadInput as error:
        raise BadInput(f"{run.named_stage}: {error}") from None
