"""A TensorFlow profile of some steps, for TensorBoard's profile page."""

import tensorflow as tf

from micle_tf import console


class Profile:
    """Profiles the steps from `first` to `last`, both included, into a run directory.

    Args:
      folder: the run directory; the profile goes to `plugins/profile` in it.
      steps: (first, last), counted from 1; None for no profile.
    """

    def __init__(self, folder, steps):
        self._folder, self._steps, self._running = folder, steps, False

    @property
    def bounds(self):
        """The numbers of steps taken at which it starts and stops."""
        return (self._steps[0] - 1, self._steps[1]) if self._steps else ()

    def before(self, step):
        """To be called before the step after `step` steps."""
        if self._steps and not self._running and self.bounds[0] <= step < self.bounds[1]:
            tf.profiler.experimental.start(self._folder)
            self._running = True

    def after(self, step):
        """To be called when `step` steps are done."""
        if self._running and step >= self.bounds[1]:
            self.close()

    def close(self):
        """Writes what there is."""
        if self._running:
            self._running = False
            tf.profiler.experimental.stop()
            console.say(f"profile: {self._folder}/plugins/profile (tensorboard's profile page)")
