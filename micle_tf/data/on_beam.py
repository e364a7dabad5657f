"""Preparing a dataset on Apache Beam (extra `beam`)."""

import contextlib
import io
import json
import os
import shlex

import tensorflow_datasets as tfds

from data_builders.examples import check_some_left
from micle_tf import console
from micle_tf.errors import BadInput


def write_on_beam(builder, options, folder):
    """Lets tfds write the examples of a `CaseDatasetBuilder` on Apache Beam.

    Args:
      builder: its source was read.
      options: text of --beam_options.
      folder: where all workers may leave what they found.

    Raises:
      BadInput: Beam is not installed or does not take the options.
      BadData: there is one bad image more than may be left out.
    """
    download_config = _beam_config(options)
    builder.beam_folder = folder
    console.say(f"preparing {console.count(builder.source.num_cases, 'case')} on Apache Beam")
    failure = None
    try:
        with contextlib.redirect_stdout(None):
            builder.download_and_prepare(download_config=download_config)
    except ValueError as error:  # tfds's own on a split that is empty, all its images being bad
        failure = error
    for split, cases in builder.source.cases.items():
        path = os.path.join(folder, f"found-{split}.json")
        if os.path.exists(path):
            with open(path, encoding="utf-8") as file:
                noted = json.load(file)
            messages = noted["bad_images"]
            for message in messages:
                builder.source.bad_images.add(message)
            builder.source.counts.update(noted["counts"])
            left = sum(len(case.images) for case in cases) - len(messages)
            check_some_left(left, split, builder.source.bad_images)
    if failure:
        raise failure


def _beam_config(options):
    """tfds's `DownloadConfig` for --beam_options; raises BadInput where they cannot be used."""
    try:
        from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions
        from apache_beam.runners.runner import create_runner
    except ImportError:
        raise BadInput(
            f"--beam_options={options}: Apache Beam is not installed: pip install '.[beam]'"
        ) from None
    try:
        with contextlib.redirect_stderr(io.StringIO()) as told:
            parsed = PipelineOptions(shlex.split(options))
            parsed.get_all_options()
        runner = parsed.view_as(StandardOptions).runner
        create_runner(runner or StandardOptions.DEFAULT_RUNNER)
    except (ValueError, ImportError) as error:
        reason = " ".join(str(error).split())
        raise BadInput(f"--beam_options={options}: {reason}") from error
    except SystemExit:  # of argparse, which has told more than a line
        raise BadInput(
            f"--beam_options={options}: {told.getvalue().split('error: ')[-1].strip()}"
        ) from None
    return tfds.download.DownloadConfig(beam_options=parsed)
