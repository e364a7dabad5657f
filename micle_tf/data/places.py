"""Where prepared data lies, and where the files were that it was made from.

A dataset is often prepared once, by somebody who knows where its files are. So their folder,
and how the images are stored, are noted beside the prepared data, and a later command needs
neither.
"""

import contextlib
import json
import os
import shlex

from micle_tf import borrowed, console
from micle_tf.dataset_names import takes_manual_dir
from micle_tf.errors import BadInput
from micle_tf.settings import Tag, tagged


def root(data_dir):
    """The folder of all prepared data."""
    return os.path.expanduser(data_dir) or borrowed.data_dir()


def default_manual_dir(data_dir):
    """Where tensorflow_datasets looks for files that it may not download."""
    return os.path.join(root(data_dir), "downloads", "manual")


def as_prepared(config, name, stated=()):
    """A config with what was noted when a dataset was prepared, and says so.

    Args:
      config: `Config`; with a `manual_dir`, nothing is changed.
      name: as from `dataset_names.dataset_names`.
      stated: names of fields to leave as they are.
    """
    note = _read_note(config, name) if takes_manual_dir(name) and not config.manual_dir else None
    if not note:
        return config
    changes = {
        field: note[field]
        for field in ("manual_dir", *_how_stored(config))
        if field not in stated and getattr(config, field) == getattr(type(config), field)
    }
    shown = [
        f"--{field}={str(value).lower() if isinstance(value, bool) else value}"
        for field, value in changes.items()
        if value != getattr(type(config), field)
    ]
    console.say(f"{name}: as it was prepared, {shlex.join(shown)}")
    return config.replace(**changes)


def locate(config, name):
    """Where the files of a dataset are, or, if they are gone, what was prepared from them.

    Args:
      config: `Config`; with a `manual_dir` of its own that is there, nothing is changed.
      name: as from `dataset_names.dataset_names`.

    Returns:
      (`as_prepared` of the config, ""); or, if the files are no longer there, with the folder of
      the prepared data.

    Raises:
      BadInput: the files are gone, and nothing was prepared from them as it is asked for now.
    """
    config = as_prepared(config, name)
    place = os.path.abspath(os.path.expanduser(config.manual_dir))
    note = _read_note(config, name) if takes_manual_dir(name) else None
    if not config.manual_dir or _is_there(place) or not note or note["manual_dir"] != place:
        return config, ""
    folder = note["prepared"].get(_way_of_making(config), "")
    folder = os.path.join(root(config.data_dir), folder) if folder else ""
    if not folder or not os.path.isdir(folder) or _different(config, note):
        raise BadInput(
            f"--dataset={name}: its files are no longer in {config.manual_dir}; say where they are "
            "with --manual_dir"
        )
    console.say(
        f"{name}: its files are no longer in {config.manual_dir}, but what was prepared is there"
    )
    return config, folder


def _is_there(folder):
    """Whether a folder is there and holds anything, unlike a disk that is not mounted."""
    try:
        return bool(os.listdir(folder))
    except OSError:
        return False


def write_note(config, name, folder):
    """Notes where the files of a dataset were and what became of them, for `locate`.

    A note that cannot be written is no loss but convenience.
    """
    import tensorflow as tf  # which a command that only looks up a place may do without

    from micle_tf import files

    manual_dir = os.path.expanduser(config.manual_dir) or default_manual_dir(config.data_dir)
    note = {"manual_dir": os.path.abspath(manual_dir)}
    note |= {field: getattr(config, field) for field in _how_stored(config)}
    old = _read_note(config, name)
    prepared = old["prepared"] if old and not _different(config, old) else {}
    prepared[_way_of_making(config)] = os.path.relpath(folder, root(config.data_dir))
    with contextlib.suppress(OSError, tf.errors.OpError):
        files.write_json(_note_file(config, name), note | {"prepared": prepared})


def _way_of_making(config):
    """What cases were made of: several ways may lie prepared side by side."""
    together = config.labels_shared_by_case or config.otherwise("labels_shared_by_case")
    apart = "" if together else ", labels apart"
    return config.group_by + apart + ("" if config.ids == "alike" else f", ids {config.ids}")


def _how_stored(config):
    """Names of the fields that say how images are stored, in the order of notes."""
    return (*tagged(config, Tag.STORED), *tagged(config, Tag.STORED_LATER))


def _different(config, note):
    """Whether images were stored otherwise, by a flag that says anything of them."""
    before = config.replace(
        **{field: note[field] for field in ("manual_dir", *_how_stored(config))}
    )
    return any(
        getattr(config, field) != note[field]
        for field in _how_stored(config)
        if not (config.otherwise(field) and before.otherwise(field))
    )


def _note_file(config, name):
    return os.path.join(root(config.data_dir), *name.split("/")) + ".prepared.json"


def _read_note(config, name):
    """The note on a dataset; None where there is none that can be read."""
    try:
        with open(_note_file(config, name), encoding="utf-8") as file:
            note = json.load(file)
        needed = {"manual_dir", "prepared", *tagged(config, Tag.STORED)}
        later = tagged(config, Tag.STORED_LATER)
        usual = {field: getattr(type(config), field) for field in later}
        return usual | note if needed <= note.keys() else None
    except (OSError, ValueError, AttributeError):
        return None
