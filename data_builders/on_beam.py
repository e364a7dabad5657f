"""Cases written on Apache Beam, for sets that outgrow one machine (extra `[beam]`)."""

import collections
import functools
import json

import tensorflow as tf
import tensorflow_datasets as tfds

from data_builders.examples import read_case


def beam_examples(cases, images, found_file):
    """Cases as the Beam transform that tfds takes in place of a generator.

    Beam's workers read the images, so their paths, and `found_file`, must be valid there.

    Args:
      cases: the cases of one split.
      images: `ImageOptions`.
      found_file: JSON, {"bad_images": the messages on the images that were left out, "counts":
        as in `read_case`}; how many may be left out is for the caller to check.

    Returns:
      A `beam.PTransform` from a pipeline to (case_id, example).
    """
    beam = tfds.core.lazy_imports.apache_beam

    @beam.ptransform_fn
    def examples(pipeline):
        read = (
            pipeline
            | "cases" >> beam.Create(cases)
            | "spread over the workers" >> beam.Reshuffle()
            | "read" >> beam.Map(read_case, images)
        )
        (
            read
            | "found" >> beam.Map(lambda outcome: outcome[1:])
            | "all of it" >> beam.CombineGlobally(_joined)
            | "keep" >> beam.Map(functools.partial(_write_json, found_file))
        )
        return (
            read
            | "with images" >> beam.Filter(lambda outcome: outcome[0] is not None)
            | "examples" >> beam.Map(lambda outcome: outcome[0])
        )

    return examples()


def _joined(found):
    """([message], counts) of many such; may be applied to its own results."""
    messages, counts = [], collections.Counter()
    for more_messages, more_counts in found:
        messages += more_messages
        counts.update(more_counts)
    return messages, dict(counts)


def _write_json(path, found):
    messages, counts = found
    with tf.io.gfile.GFile(path, "w") as file:
        file.write(json.dumps({"bad_images": sorted(messages), "counts": counts}))
