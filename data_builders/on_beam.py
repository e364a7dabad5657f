"""Cases written on Apache Beam, for sets that outgrow one machine (extra `[beam]`)."""

import functools
import json

import tensorflow as tf
import tensorflow_datasets as tfds

from data_builders.case_builder import read_case


def beam_examples(cases, images, bad_images_file):
    """Cases as the Beam transform that tfds takes in place of a generator.

    Beam's workers read the images, so their paths, and `bad_images_file`, must be valid there.

    Args:
      cases: the cases of one split.
      images: `ImageOptions`.
      bad_images_file: where the messages on the images that were left out go, a JSON list;
        how many may be is for the caller to check.

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
            | "bad images" >> beam.FlatMap(lambda outcome: outcome[1])
            | "all of them" >> beam.combiners.ToList()
            | "keep" >> beam.Map(functools.partial(_write_json, bad_images_file))
        )
        return (
            read
            | "with images" >> beam.Filter(lambda outcome: outcome[0] is not None)
            | "examples" >> beam.Map(lambda outcome: outcome[0])
        )

    return examples()


def _write_json(path, messages):
    with tf.io.gfile.GFile(path, "w") as file:
        file.write(json.dumps(sorted(messages)))
