"""Cases written on threads, as many as one machine has cores; see `on_beam` for many machines."""

import collections
import itertools
import os
from collections.abc import Iterable
from concurrent import futures

from data_builders.examples import read_case
from data_builders.images import ImageOptions
from data_builders.schema import Case, CaseSource


def case_examples(cases: Iterable[Case], images: ImageOptions, source: CaseSource):
    """Turns cases into (key, example) as tfds wants them.

    Threads read and check the images of the next few cases, so that two cases per core
    are in memory, whatever the size of the dataset.

    Args:
      cases: the cases of one split.
      images: which images are accepted, and how they are stored.
      source: where they come from; its `bad_images` are added to.

    Yields:
      Per case, in order, (case_id, example) with the fields of `case_features`; None for a
      case without a good image.

    Raises:
      BadData: one bad image more than may be left out; of several, the first one in order.
    """
    # Decoding leaves Python to other threads; rendering does not, and is slower with several.
    workers = min(os.cpu_count() or 1, 8) if source.threads else 1
    with futures.ThreadPoolExecutor(workers) as pool:
        waiting: collections.deque[futures.Future] = collections.deque()
        remaining = iter(cases)
        try:
            while True:
                for case in itertools.islice(remaining, 2 * workers + 1 - len(waiting)):
                    waiting.append(pool.submit(read_case, case, images))
                if not waiting:
                    return
                example, bad, counts = waiting.popleft().result()
                for message in bad:
                    source.bad_images.add(message)
                source.counts.update(counts)
                yield example
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
