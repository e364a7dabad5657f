"""A run directory: what ran there, how far it got, and what came out."""

import contextlib
import functools
import hashlib
import json
import os

import tensorflow as tf
from tensorflow.core.protobuf import trackable_object_graph_pb2

from micle_tf.data.earlier import flags_of_before, what_changed
from micle_tf.data.report import SEEN_OTHERWISE
from micle_tf.errors import BadInput
from micle_tf.files import finite, reason_of, write_json, write_text
from micle_tf.run_config import is_finished, read_config
from micle_tf.settings import Tag, tagged
from micle_tf.training.checkpoints import damage_named, latest_checkpoint, step_of, steps_in
from micle_tf.training.events import forget_events_after
from micle_tf.training.lock import LOCK_FILE, RunLock

FRESH, UNFINISHED, FINISHED = "fresh", "unfinished", "finished"


class RunDirectory:
    """Files of one run: config.json, checkpoints/, metrics.jsonl, result.json.

    Args:
      path: the directory; made when the run begins.
      config: `Config` of the run.
      facts: what else must not change on resume: {"replicas": 2, "data": "..."}.
      superseded: name of the data that these files gave in an earlier version, if it was another.
    """

    def __init__(self, path, config, facts, superseded=""):
        self.path = path
        self._config, self._facts, self._superseded = config, dict(facts), superseded
        self._lock, self._lines = None, []

    def file(self, name):
        """Path of a file in the directory."""
        return os.path.join(self.path, name)

    @contextlib.contextmanager
    def claimed(self):
        """Claims the directory for this configuration, and keeps other processes out.

        Yields:
          FRESH, UNFINISHED (the same command ran here and was stopped) or FINISHED.

        Raises:
          BadInput: the directory holds a run of another configuration, or another process
            is at work in it.
          Stopped: it cannot be written any more.
        """
        if self.status() == FINISHED:  # which is only read
            yield FINISHED
            return
        try:
            tf.io.gfile.makedirs(self.path)
        except tf.errors.OpError as error:
            raise BadInput(
                f"--model_dir={self.path}: cannot be written: {reason_of(error)}"
            ) from None
        with RunLock(self.path) as self._lock:
            status = self.status()  # another process may have had it meanwhile
            if status == FRESH:
                stated = json.loads(self._config.to_json()) | self._facts
                write_json(self.file("config.json"), stated)
            try:
                yield status
            finally:
                if "summaries" in vars(self):
                    self.summaries.close()

    def status(self):
        """What `claimed` will yield, and its errors, without writing anything."""
        if tf.io.gfile.exists(self.file("config.json")):
            self._check_same()
            return FINISHED if is_finished(self.path) else UNFINISHED
        if tf.io.gfile.exists(self.path):
            if not tf.io.gfile.isdir(self.path):
                raise BadInput(f"--model_dir={self.path}: is a file")
            # A run that was killed while it wrote its first file left that file's draft.
            if set(tf.io.gfile.listdir(self.path)) - {"unfinished-config.json", LOCK_FILE}:
                raise BadInput(
                    f"--model_dir={self.path}: not empty, and not a run of ours (no config.json)"
                )
        return FRESH

    def has_checkpoint(self):
        """Whether a stopped run left something to go on from."""
        return bool(steps_in(self.file("checkpoints")))

    @functools.cached_property
    def summaries(self):
        """The TensorBoard writer of this process."""
        return tf.summary.create_file_writer(self.path)

    def last_logged(self):
        """The numbers in the last line of metrics.jsonl as a dict; {} if there is none."""
        last = (read_log(self.path) or [{}])[-1]
        return {name: value for name, value in last.items() if value is not None}

    def was_logged(self, name):
        """Whether a line of metrics.jsonl has a value of this name."""
        return any(name in line for line in read_log(self.path))

    def _check_same(self):
        old_config, old_facts = read_config(self.path, "--model_dir")
        changed = [
            f"{name} ({_shown(getattr(old_config, name))} there)"
            for name in self._config.differences(old_config)
            if name not in tagged(self._config, Tag.POLICY) or self._predicts_findings()
        ]
        different = [name for name, value in self._facts.items() if old_facts.get(name) != value]
        if self._superseded and old_facts.get("data") == self._superseded:
            if is_finished(self.path):
                different.remove("data")
            elif not changed and different == ["data"]:
                raise BadInput(
                    f"--model_dir={self.path}: holds a run on {self._superseded}: "
                    f"{SEEN_OTHERWISE}; the data is {self._facts['data']} now: choose another "
                    "directory, or finish the run with the version that began it"
                )
        data_alone = "data" in different and set(different) <= {"data", "targets"}
        if data_alone and not changed and old_facts.get("data"):
            flags = flags_of_before(self._config, old_facts["data"])
            if flags:
                raise BadInput(
                    f"--model_dir={self.path}: holds a run on {old_facts['data']}, and the data is "
                    f"{self._facts['data']} now: {what_changed(flags)}; or choose another directory"
                )
        changed += [
            f"{name} ({old_facts.get(name)} there, {self._facts[name]} now)" for name in different
        ]
        if changed:
            raise BadInput(
                f"--model_dir={self.path}: holds a run with another {', '.join(changed)}; "
                "choose another directory"
            )

    def _predicts_findings(self):
        return self._facts.get("targets", {}).get("multilabel", True)

    def log(self, step, values, seconds):
        """Appends a line to metrics.jsonl, and writes the values to TensorBoard.

        A number that is not finite becomes null in the first. `seconds` says how long the run
        took so far.
        """
        line = finite({"step": step} | values | {"seconds": round(seconds, 1)})
        self._lines.append(json.dumps(line, allow_nan=False) + "\n")
        if "://" not in self.path:  # object stores write the whole file anew for each line
            self._write_lines()
        with self.summaries.as_default(step=step):
            for name, value in values.items():
                tf.summary.scalar(name, value)

    def flush(self):
        """Brings to disk what was logged; raises Stopped if the directory is another's by now."""
        if self._lock:
            self._lock.check()
        self._write_lines()
        self.summaries.flush()

    def _write_lines(self):
        with tf.io.gfile.GFile(self.file("metrics.jsonl"), "a") as file:
            file.write("".join(self._lines))
        self._lines.clear()

    def forget_after(self, step):
        """Drops what was logged of steps that a resumed run will take again."""
        forget_events_after(self.path, step)
        path = self.file("metrics.jsonl")
        if not tf.io.gfile.exists(path):
            return
        with tf.io.gfile.GFile(path) as file:
            lines = file.read().splitlines(keepends=True)
        kept = [line for line in lines if _step_of(line) is not None and _step_of(line) <= step]
        if kept != lines:
            write_text(path, "".join(kept))

    def finish(self, *, mode, dataset, method, steps, seconds, metrics, intervals, **more):
        """Writes result.json, whose presence says that the run is finished.

        `more` is what only some modes have to say: seen.
        """
        result = dict(
            mode=mode, dataset=dataset, method=method, steps=steps, seconds=round(seconds, 1),
            metrics=metrics, intervals=intervals, **more,
        )  # fmt: skip
        write_json(self.file("result.json"), result)
        return result


def _shown(value):
    return "empty" if value == "" else value


def read_log(run):
    """The lines of a run's metrics.jsonl as dicts; one that was cut off is left out."""
    path = os.path.join(run, "metrics.jsonl")
    if not tf.io.gfile.exists(path):
        return []
    with tf.io.gfile.GFile(path) as file:
        return [json.loads(text) for text in file.read().splitlines() if _step_of(text) is not None]


def _step_of(line):
    """The step of a line of metrics.jsonl; None for one that was cut off."""
    try:
        return json.loads(line)["step"]
    except (json.JSONDecodeError, KeyError, TypeError):
        return None


def describe_weights(run, path):
    """ "runs/a, step 500" of a run's checkpoint and, if it is not finished, a word on that."""
    step = step_of(path)
    return f"{run}, step {step:,}" + ("" if is_finished(run) else " (of an unfinished run)")


def splits_were_made_before(run):
    """Whether a run began when tensorflow_datasets' sets were split otherwise.

    See `image_sets.open_image_set`.
    """
    if not tf.io.gfile.exists(os.path.join(run, "config.json")):
        return False
    return "splits" not in read_config(run, "--model_dir")[1]


def identify_weights(path):
    """ "ckpt-500 (3f0a91c2)": a checkpoint's name and a hash of its tensors' checksums."""
    with tf.io.gfile.GFile(f"{path}.index", "rb") as file:
        digest = hashlib.sha256(file.read()).hexdigest()[:8]
    return f"{os.path.basename(path)} ({digest})"


def chosen_checkpoint(run):
    """Path prefix of a run's best checkpoint, or of its newest where none is the best.

    Raises:
      BadInput: the run has no checkpoint yet.
    """
    folder, where = os.path.join(run, "checkpoints"), f"--checkpoint={run}"
    path = latest_checkpoint(os.path.join(folder, "best"), where)
    if path is None:
        if is_finished(run) and read_config(run)[0].mode == "finetune":
            raise BadInput(f"{where}: its best checkpoint is gone: checkpoints/best")
        path = latest_checkpoint(folder, where)
    if path is None:
        raise BadInput(f"{where}: holds no checkpoint yet")
    return path


def restore_models(run, **models):
    """Fills models, by name, with the weights of a run's chosen checkpoint.

    Args:
      run: run directory.
      **models: built Keras models, e.g. encoder=..., projection_head=....

    Returns:
      The path prefix of that checkpoint; of a run in progress, a later call may choose another.

    Raises:
      BadInput: the checkpoint has no weights for a variable, or others than the model's.
    """
    path = chosen_checkpoint(run)
    with damage_named(path, f"--checkpoint={run}"):
        try:
            status = tf.train.Checkpoint(**models).read(path)
            status.assert_existing_objects_matched()
            status.expect_partial()
        except (AssertionError, ValueError, tf.errors.InvalidArgumentError) as error:
            reason = _misfits(path, models) or str(error).strip().splitlines()[0][:200]
            raise BadInput(f"--checkpoint={run}: weights of another model: {reason}") from None
    return path


def has_weights_of(run, **models):
    """Whether a run's chosen checkpoint has all weights of models, by name, in their shapes."""
    path = chosen_checkpoint(run)
    with damage_named(path, f"--checkpoint={run}"):
        return not _misfits(path, models)


def _misfits(path, models, shown=3):
    """Names the tensors of the models that a checkpoint lacks, or has in another shape."""
    reader = tf.compat.v1.train.NewCheckpointReader(path)  # of a prefix, on ram:// too
    graph = trackable_object_graph_pb2.TrackableObjectGraph()
    graph.ParseFromString(reader.get_tensor("_CHECKPOINTABLE_OBJECT_GRAPH"))
    shapes = reader.get_variable_to_shape_map()
    there = {
        attribute.full_name: tuple(shapes[attribute.checkpoint_key])
        for node in graph.nodes
        for attribute in node.attributes
        if attribute.checkpoint_key in shapes
    }
    misfits = []
    for variable in (variable for model in models.values() for variable in model.variables):
        name, shape = variable.value.name.partition(":")[0], tuple(variable.shape)
        if name not in there:
            misfits.append(f"{variable.path} is not there")
        elif there[name] != shape:
            misfits.append(f"{variable.path} is {list(there[name])} there, {list(shape)} here")
    more = f" and {len(misfits) - shown:,} more tensors" if len(misfits) > shown else ""
    return ", ".join(misfits[:shown]) + more


def read_result(run, flag="--checkpoint"):
    """The content of a run's result.json; raises BadInput naming the flag if it is damaged."""
    path = os.path.join(run, "result.json")
    try:
        with tf.io.gfile.GFile(path, "rb") as file:
            result = json.loads(file.read().decode())
        missing = {"mode", "dataset", "method", "steps", "metrics", "intervals"} - result.keys()
    except (ValueError, AttributeError, tf.errors.OpError) as error:
        reason = str(error).splitlines()[0]
        raise BadInput(f"{flag}={run}: its result.json is damaged ({reason})") from None
    if missing:
        raise BadInput(f"{flag}={run}: its result.json is damaged (no {sorted(missing)[0]} in it)")
    return result
