"""--mode=prepare: a dataset packed as cases, or checked."""

from micle_tf import console
from micle_tf.data import cases


def prepare(config):
    """Prepares the data of a config and says what it is; of a dry run, only checks it.

    Args:
      config: `Config`.

    Raises:
      BadInput: as `cases.open_cases`.
      Stopped: the disk is full.
    """
    for data in cases.check_cases(config) if config.dry_run else [cases.open_cases(config)]:
        for line in cases.describe(data, labels=True):
            console.say(line)
    if config.dry_run:
        console.say("dry run: nothing was written")
