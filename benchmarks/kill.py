"""kill -9 at random moments of one pretraining, which is started again each time.

    python benchmarks/kill.py            # 20 kills, some four minutes on two cores

What must hold, and else the exit code is 1: the final weights are exactly those of a run that
was left alone, no step is logged twice or lost, and nothing outside the run directory has
grown. Each process has a home, a temporary folder and a working directory of its own, which
are compared, with the prepared data, before and after.

One kill of four comes while the command starts, the others while it restores, trains or saves,
which it does every five steps.
"""

import argparse
import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).parents[1]
FLAGS = [
    "--mode=pretrain", "--dataset=derm_cases/synthetic", "--image_size=16", "--resnet_depth=10",
    "--width_multiplier=0.125", "--train_batch_size=16", "--checkpoint_every=5steps",
    "--log_every=1",
]  # fmt: skip
OUTSIDE = ("data", "home", "tmp", "cwd")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--steps", type=int, default=300, help="length of the run")
    parser.add_argument("--seed", type=int, default=0, help="of the run and of the moments")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        for name in OUTSIDE:
            (folder / name).mkdir()
        whole, killed = folder / "whole", folder / "killed"
        finish(start(folder, whole, options))
        before = listing(folder)
        kills = kill_often(folder, killed, options, seconds_per_step(whole))
        output = finish(start(folder, killed, options))
        print(next((line for line in output.splitlines() if "resumed" in line), "not resumed"))
        problems = compare(whole, killed) + changes(before, listing(folder))
    if kills < options.kills:
        problems.append(f"the run was over after {kills} kills; give more --steps")
    for problem in problems[:20]:
        print(f"DIFFERENT: {problem}")
    if len(problems) > 20:
        print(f"and {len(problems) - 20} more")
    sys.exit(1 if problems else 0)


def start(folder, run, options):
    """Starts the command in a surrounding of its own."""
    flags = [f"--data_dir={folder}/data", f"--model_dir={run}"]
    flags += [f"--train_steps={options.steps}", f"--seed={options.seed}"]
    surrounding = {"HOME": f"{folder}/home", "TMPDIR": f"{folder}/tmp"}
    return subprocess.Popen(
        [sys.executable, str(ROOT / "run.py"), *FLAGS, *flags],
        cwd=folder / "cwd",
        env=os.environ | surrounding | {"PYTHONDONTWRITEBYTECODE": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process):
    """The output of a process that is left alone; ends this one if it fails."""
    output, error = process.communicate()
    if process.returncode:
        sys.exit(f"exit code {process.returncode}: {error}")
    return output


def seconds_per_step(run):
    """Of a finished run, with its checkpoints, without its start."""
    lines = read_log(run)
    return (lines[-1]["seconds"] - lines[0]["seconds"]) / (len(lines) - 1)


def kill_often(folder, run, options, step_seconds):
    """Starts and kills; returns how often that was possible before the run was over."""
    moments, starting = random.Random(options.seed), 0.0
    print(f"{'kill':>4s}{'after s':>9s}{'logged':>8s}{'saved':>7s}  unfinished")
    for number in range(options.kills):
        process, started = start(folder, run, options), time.monotonic()
        if number % 4 == 3:
            time.sleep(moments.uniform(0, starting))
        else:
            # Once it writes, it has as many steps as leave something to the kills to come.
            log, left = log_time(run), options.steps - last_saved(run)
            while process.poll() is None and log_time(run) == log:
                time.sleep(0.005)
            starting = time.monotonic() - started
            time.sleep(moments.uniform(0, 1.5) * left * step_seconds / (options.kills - number + 1))
        process.kill()
        process.communicate()
        if process.returncode != -signal.SIGKILL:
            return number
        after = time.monotonic() - started
        steps = [line["step"] for line in read_log(run)]
        print(
            f"{number + 1:4d}{after:9.2f}{max(steps, default=0):8d}{last_saved(run):7d}"
            f"  {', '.join(unfinished(run))}", flush=True
        )  # fmt: skip
    return options.kills


def log_time(run):
    path = run / "metrics.jsonl"
    return path.stat().st_mtime_ns if path.exists() else 0


def read_log(run):
    """The lines of metrics.jsonl, without one that was cut off."""
    path = run / "metrics.jsonl"
    text = path.read_text() if path.exists() else ""
    return [json.loads(line) for line in text.rpartition("\n")[0].splitlines()]


def last_saved(run):
    return max((int(path.stem[5:]) for path in run.glob("checkpoints/*.complete")), default=0)


def unfinished(run):
    """What lies in the checkpoints' folder without a mark."""
    marked = {path.stem for path in run.glob("checkpoints/*.complete")} | {"checkpoint"}
    return sorted({path.stem for path in run.glob("checkpoints/*")} - marked)


def compare(whole, killed):
    """What two finished runs differ in, as lines; prints what was compared."""
    sys.path.insert(0, str(ROOT))
    from micle_tf.quiet import hide_native_messages

    hide_native_messages()
    expected, found = tensors(whole), tensors(killed)
    names = expected.keys() | found.keys()
    problems = [name for name in sorted(names) if expected.get(name) != found.get(name)]
    print(f"\n{len(names):6,d} tensors, {len(problems)} of them different")
    steps = [line["step"] for line in read_log(killed)]
    print(f"{len(steps):6,d} lines in metrics.jsonl, {len(steps) - len(set(steps))} steps twice")
    if steps != [line["step"] for line in read_log(whole)]:
        problems.append("the steps in metrics.jsonl")
    expected, found = scalars(whole), scalars(killed)
    values = sum(map(len, found.values()))
    twice = values - sum(len({step for step, _ in pairs}) for pairs in found.values())
    print(f"{values:6,d} values in TensorBoard's files, {twice} steps twice")
    timed = {name for name in expected if name.startswith(("images_per_second", "input_wait"))}
    for name in sorted(expected.keys() | found.keys()):
        one, other = expected.get(name, []), found.get(name, [])
        # Speed is another one, and the first step of a process has none.
        if twice or (name not in timed and one != other):
            problems.append(f"{name} in TensorBoard")
    here, there = names_in(killed), names_in(whole)
    problems += [f"{name} in the run directory" for name in sorted(here ^ there)]
    return problems


def tensors(run):
    """{name: (dtype, shape, bytes)} of the last checkpoint, optimizer and all."""
    import tensorflow as tf

    reader = tf.train.load_checkpoint(str(run / "checkpoints"))
    names = [name for name in reader.get_variable_to_shape_map() if "OBJECT_GRAPH" not in name]
    arrays = {name: reader.get_tensor(name) for name in names}
    return {name: (str(x.dtype), x.shape, x.tobytes()) for name, x in arrays.items()}


def scalars(run):
    """{name: [(step, value)]} in TensorBoard's files, with nothing hidden that is there twice."""
    import tensorflow as tf
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(run), {"tensors": 0}, purge_orphaned_data=False).Reload()
    return {
        tag: sorted((e.step, tf.make_ndarray(e.tensor_proto).tolist()) for e in events.Tensors(tag))
        for tag in events.Tags()["tensors"]
    }


def names_in(run):
    """Paths in a run directory; of TensorBoard's files only that there are some."""
    paths = [str(path.relative_to(run)) for path in run.rglob("*")]
    return {path.partition(".tfevents")[0] for path in paths}


def listing(folder):
    """{path: size in bytes} of what lies outside the run directories."""
    paths = [path for name in OUTSIDE for path in (folder / name).rglob("*")]
    return {str(p.relative_to(folder)): p.stat().st_size for p in paths if p.is_file()}


def changes(before, after):
    print(f"{len(after):6,d} files outside the run directory, {sum(after.values()):,} bytes")
    names = sorted(before.keys() | after.keys())
    return [f"outside: {name}" for name in names if before.get(name) != after.get(name)]


if __name__ == "__main__":
    main()
