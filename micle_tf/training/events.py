"""TensorBoard's event files across a resume: no step doubled, none hidden behind damage."""

import os

import tensorflow as tf

from micle_tf.borrowed import read_events

# TensorBoard reads every file with "tfevents" in its name, so this one has not.
_DRAFT = "events.tmp"
_FRAMING = 16  # bytes around each record of a TFRecord file: its length and two checksums


def forget_events_after(folder, step):
    """Drops what a resumed run will write to TensorBoard again.

    Of each event file that is all events of later steps, and the record at which a reader
    would stop because a kill cut it off. All others stay, byte for byte and in order; a
    file that loses nothing is not touched; one that holds no event but its header is
    removed. A file is replaced by renaming, so that a kill leaves the old or the new one.
    This process must not have written events of later steps into the folder.

    Args:
      folder: a directory that exists; local, or a path of `tf.io.gfile`. What lies in
        folders below it is left alone.
      step: the last step to keep.
    """
    draft = os.path.join(folder, _DRAFT)
    if tf.io.gfile.exists(draft):
        tf.io.gfile.remove(draft)
    for name in sorted(tf.io.gfile.listdir(folder)):
        if not name.startswith("events.out.tfevents."):
            continue
        path = os.path.join(folder, name)
        # A first pass that only counts: files may be larger than the memory, and on most
        # resumes all but the last of them stay as they are.
        size = events = 0
        for record, is_event in _kept(path, step):
            size += len(record) + _FRAMING
            events += is_event
        if not events:
            tf.io.gfile.remove(path)
        elif size != tf.io.gfile.stat(path).length:
            with tf.io.TFRecordWriter(draft) as writer:
                for record, _ in _kept(path, step):
                    writer.write(record)
            tf.io.gfile.rename(draft, path, overwrite=True)


def _kept(path, step):
    """Yields (bytes, whether it is more than a header) of the records that stay."""
    for record, event in read_events(path):
        if event.step <= step:
            yield record, event.WhichOneof("what") != "file_version"
