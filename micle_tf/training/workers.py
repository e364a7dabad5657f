"""The processes that train one model together: one on a laptop, one per machine of a cluster."""

import contextlib

import tensorflow as tf

from micle_tf import console


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

    def chief_first(self, function):
        """Calls a function on the chief, then on the others, which find done what it did."""
        if not self.is_chief:
            self.wait()
        result = function()
        if self.is_chief:
            self.wait()
        return result

    @contextlib.contextmanager
    def claimed(self, run):
        """`RunDirectory.claimed` on the chief, who holds it for all; the others only see it."""
        if self.is_chief:
            with run.claimed() as status:
                self.wait()
                yield status
        else:
            self.wait()
            yield run.status()

    def _sum(self, flag):
        def replica_sum(flag):
            context = tf.distribute.get_replica_context()
            return context.all_reduce(tf.distribute.ReduceOp.SUM, tf.identity(flag))

        total = self._strategy.run(replica_sum, args=(flag,))
        return self._strategy.experimental_local_results(total)[0]
