"""What microbatches cost: 1,024 pairs, 64 at a time, against a plain batch of 64 pairs.

    python benchmarks/microbatch.py            # ResNet-50, 96 px, float32

Each of the two is a process of its own, which tells its own peak memory (whole process,
TensorFlow and the batch included). They take steps in turn, the small batch before and after
each large one, so that a noisy machine slows them alike. The first steps trace and do not count.

Two passes do four thirds of the work of one, a third less one optimizer step in sixteen; what
must hold is at most 1.45 times the time per pair and 1.3 times the memory.
"""

import argparse
import pathlib
import statistics
import sys

from train_step import start_worker, take_step, work

SMALL_STEPS = 4  # before each large one


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--worker", nargs=2, type=int, help=argparse.SUPPRESS)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--pairs", type=int, default=1024)
    parser.add_argument("--microbatch_size", type=int, default=64)
    parser.add_argument("--size", type=int, default=96)
    options = parser.parse_args()
    sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))
    if options.worker:
        pairs, microbatch_size = options.worker
        return work("fused", "float32", pairs, options.size, microbatch_size)
    part, size = options.microbatch_size, f"--size={options.size}"
    small = start_worker(__file__, part, 0, size)
    large = start_worker(__file__, options.pairs, part, size)
    take_step(small)
    take_step(large)
    times = {"small": [], "large": []}
    for round_number in range(options.rounds + 1):
        for _ in range(SMALL_STEPS):
            seconds, small_peak = take_step(small)
            times["small"].append(seconds / part)
        if round_number < options.rounds:
            seconds, large_peak = take_step(large)
            times["large"].append(seconds / options.pairs)
    for worker in (small, large):
        worker.stdin.close()
        worker.wait()
    medians = {name: statistics.median(seconds) for name, seconds in times.items()}
    print(f"ResNet-50, {options.size} px, float32")
    print(
        f"{'pairs':>8s}{'at once':>9s}{'ms a pair':>11s}{'ratio':>7s}{'peak MB':>9s}{'ratio':>7s}"
    )
    for name, pairs, peak in (("small", part, small_peak), ("large", options.pairs, large_peak)):
        ratio, memory_ratio = medians[name] / medians["small"], peak / small_peak
        print(
            f"{pairs:8,d}{part:9d}{1000 * medians[name]:11.1f}{ratio:7.2f}"
            f"{peak:9,.0f}{memory_ratio:7.2f}"
        )
    return None


if __name__ == "__main__":
    main()
