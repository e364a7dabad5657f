"""The files of one of our datasets, read: what its prepared data is made from, and its name."""

import contextlib
import dataclasses
import gc
import os

from data_builders.case_builder import CaseConfig
from data_builders.derm_cases.manifest import read_manifest
from data_builders.grouping import ReadOptions
from data_builders.images import ImageOptions
from data_builders.schema import BadData, BadImages
from micle_tf.data import places
from micle_tf.data.prepared import checked_builder, module_of
from micle_tf.dataset_names import takes_manual_dir
from micle_tf.errors import BadInput
from micle_tf.settings import options_of


def configuration_of(config, name):
    """What tfds calls the configuration of the builder: a name, or an object with the source."""
    _, _, variant = name.partition("/")
    if not takes_manual_dir(name) and variant != "manifest":
        if config.group_by != "case":
            raise BadInput(f"--group_by={config.group_by}: {name} is grouped by case")
        return variant
    options = options_of(ReadOptions, config, bad_images=BadImages(config.max_bad_images))
    with bad_data_is_bad_input(), _no_garbage_collection():
        if variant == "manifest":
            source = read_manifest(
                config.manifest, config.image_dir, config.columns, findings=config.findings,
                findings_column=config.findings_column, options=options, missing=config.missing,
            )  # fmt: skip
        else:
            folder = os.path.expanduser(config.manual_dir) or places.default_manual_dir(
                config.data_dir
            )
            if not os.path.isdir(folder):
                raise BadInput(
                    f"--manual_dir={config.manual_dir}: no such folder"
                    if config.manual_dir
                    else f"--dataset={name}: say where its files are with --manual_dir"
                )
            source = module_of(name).read_source(variant, folder, options)
    return _as_stored(config, name, source)


def _as_stored(config, name, source):
    """The configuration of files that were read, without a flag that says nothing of their images.

    Unless the data was prepared under the name that it has with that flag.
    """
    _, _, variant = name.partition("/")
    stated = {field.name: getattr(config, field.name) for field in dataclasses.fields(ImageOptions)}
    said = {flag: value for flag, value in stated.items() if not config.otherwise(flag)}
    plain, literal = (
        CaseConfig.of(variant, source, ImageOptions(**some)) for some in (said, stated)
    )
    if literal.name != plain.name:
        for one in (literal, literal.seen_otherwise()):
            if checked_builder(config.data_dir, name, one).info.splits:
                return literal
    return plain


def source_of(config, name):
    """(`CaseConfig`, `CaseSource`) of one of our datasets, from its files or its generator."""
    configuration = configuration_of(places.locate(config, name)[0], name)
    if not isinstance(configuration, str):
        return configuration, configuration.source
    source = module_of(name).read_source(configuration, "", ReadOptions())
    return CaseConfig.of(configuration, source), source


@contextlib.contextmanager
def bad_data_is_bad_input():
    """Raises a fault of the source as BadInput, in one line."""
    try:
        yield
    except BadData as error:
        raise BadInput(" ".join(str(error).splitlines())) from error


@contextlib.contextmanager
def _no_garbage_collection():
    """For reading tables: going over the million small objects again and again doubles the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
