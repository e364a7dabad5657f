"""The processes that train one model together: one on a laptop, one per machine of a cluster."""

import contextlib
import dataclasses
import json
import time
import zlib

import tensorflow as tf

from micle_tf import console
from micle_tf.config import is_compared
from micle_tf.errors import BadInput, Stopped
from micle_tf.settings import Tag, tagged

_TOLD, _LENGTH = (BadInput, Stopped), 1000  # what the others are told of, in so many bytes
_CONFIG_LENGTH = 16_384
_STAY = 2.0  # seconds


class Workers:
    """This process among those of a job. Worker 0, the chief, alone writes and judges.

    Args:
      strategy: the tf.distribute strategy.
      cluster: `Cluster`, of the same config.
    """

    def __init__(self, strategy, cluster):
        self.is_chief, self.index = cluster.is_chief, cluster.index
        self.count = cluster.size
        self._strategy = strategy
        self._summed = tf.function(self._sum, autograph=False)
        if not self.is_chief:
            console.say(f"worker {self.index} of {self.count}; worker 0 tells how it goes")
            console.mute()

    def any(self, flag):
        """Whether the flag is set on any worker. All must call it; nobody goes on before."""
        if self.count == 1:
            return bool(flag)
        return int(self._summed(tf.constant(int(bool(flag))))) > 0

    def wait(self):
        """Waits until all workers are here."""
        self.any(False)

    def wait_before_exit(self):
        """`wait`, before this process ends: what it has sent, the others fetch from it."""
        self.wait()
        if self.count > 1:
            time.sleep(_STAY)

    def chief_first(self, function):
        """Calls a function on the chief, then on the others, which find done what it did.

        A BadInput or Stopped of the chief is raised by all.
        """
        result = self._on_chief(function)
        return result if self.is_chief else function()

    def of_chief(self, function):
        """A whole number that a function gives on the chief, on all workers; errors as above."""
        number = self._on_chief(function)
        if self.count == 1:
            return number
        return int(self._summed(tf.constant(number if self.is_chief else 0, tf.int64)))

    def as_the_chief(self, config, stated):
        """A config with the chief's values of what was not typed, which can be up to its machine.

        Args:
          config: `Config` of this process.
          stated: `cli.Stated` of it; None: everything is typed.
        """
        if self.count == 1:
            return config
        names = [f.name for f in dataclasses.fields(config) if is_compared(f, config.mode)]
        own = {name: getattr(config, name) for name in [*names, "preset"]}
        text = self._text(json.dumps(own) if self.is_chief else "", _CONFIG_LENGTH)
        typed = own.keys() if stated is None else stated.typed
        return config.replace(**{k: v for k, v in json.loads(text).items() if k not in typed})

    def check_same(self, config):
        """Raises BadInput on every worker unless all were started with the same flags.

        Only what differs by nature may differ: where each of them has its data.
        """
        without = {name: "" for name in tagged(config, Tag.DATA_PLACE)}
        number = zlib.crc32(config.replace(**without).to_json().encode())
        if self.any(number != self.of_chief(lambda: number)):
            self.wait_before_exit()
            raise BadInput(
                f"--model_dir={config.model_dir}: the workers were started with different flags"
            )

    @contextlib.contextmanager
    def claimed(self, run):
        """`RunDirectory.claimed` on the chief, who holds it for all; the others only see it."""
        with contextlib.ExitStack() as held:
            status = self._on_chief(lambda: held.enter_context(run.claimed()))
            yield status if self.is_chief else run.status()

    def _on_chief(self, function):
        """Calls a function on the chief while the others wait; what it fails of, all fail of."""
        result = failure = None
        if self.is_chief:
            try:
                result = function()
            except _TOLD as error:
                failure = error
        failure = self._told(failure)
        if failure:
            self.wait_before_exit()
            raise failure
        return result

    def _told(self, failure):
        """The error of the one worker that has one, on all of them; None if there is none."""
        if self.count == 1:
            return failure
        text = self._text(f"{_TOLD.index(type(failure))}{failure}" if failure else "")
        return failure or (_TOLD[int(text[0])](text[1:]) if text else None)

    def _text(self, text, length=_LENGTH):
        """The text of the one worker that has one, on all of them."""
        text = text.encode()[:length].ljust(length, b"\0")
        told = self._summed(tf.constant(list(text))).numpy()
        return bytes(told.tolist()).rstrip(b"\0").decode(errors="ignore")

    def _sum(self, value):
        """The sum of what the workers have; of the devices of each, the first one speaks."""
        devices = self._strategy.num_replicas_in_sync // self.count

        def replica_sum(value):
            context = tf.distribute.get_replica_context()
            is_first = tf.equal(context.replica_id_in_sync_group % devices, 0)
            counted = tf.where(is_first, value, tf.zeros_like(value))
            return context.all_reduce(tf.distribute.ReduceOp.SUM, counted)

        total = self._strategy.run(replica_sum, args=(value,))
        return self._strategy.experimental_local_results(total)[0]
