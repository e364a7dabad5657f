"""What is used of Keras, tensorflow_datasets and TensorBoard beyond what they promise to keep.

A new version of theirs may change any of it without a word. So all of it is here and nowhere else,
and tests/test_borrowed.py holds each function to what it says, with the versions that are named.
TensorBoard and tensorflow_datasets are imported by what needs them, since the optimizers, which
borrow of Keras alone, are plain Keras.
"""

from collections.abc import Iterator
from typing import Any


def leave_gradients_to_caller(optimizer: Any) -> None:
    """Keeps a Keras optimizer from adding up the gradients of the replicas.

    Overrides `_all_reduce_sum_gradients` of this one optimizer. There is no public way to say
    that it is done, as where the norm of the sum is wanted too; the sum would be added up twice.
    Checked with Keras 3.12, 3.13, 3.14 and 3.15.

    Args:
      optimizer: a `keras.optimizers.Optimizer`; `apply` then takes gradients that are the same on
        all replicas.
    """
    assert hasattr(type(optimizer), "_all_reduce_sum_gradients"), "another Keras"
    optimizer._all_reduce_sum_gradients = lambda gradients_and_variables: gradients_and_variables


def index_of(optimizer: Any, variable: Any) -> int:
    """The place of a variable among those that a Keras optimizer was built for, from 0.

    `_get_variable_index`, by which Keras's own optimizers find what they keep of a variable; in
    `update_step` a variable has neither path nor place. Checked with Keras 3.12, 3.13, 3.14 and
    3.15.
    """
    return optimizer._get_variable_index(variable)


def data_dir() -> str:
    """The folder that tensorflow_datasets prepares data in unless it is told another.

    `core.constants.DATA_DIR`: TFDS_DATA_DIR of the environment, as it was at the first import, or
    ~/tensorflow_datasets. Only a builder tells it otherwise, and it would have to be made first.
    Checked with tensorflow-datasets 4.9.
    """
    from tensorflow_datasets.core import constants

    return str(constants.DATA_DIR)


def limit_shuffle_memory(num_bytes: int) -> None:
    """Has tensorflow_datasets sort examples on disk once they are larger than so many bytes.

    Sets `core.shuffle.MAX_MEM_BUFFER_SIZE` for this process: a gigabyte otherwise, and no option
    says how much. The order of the examples does not depend on it. Checked with
    tensorflow-datasets 4.9.
    """
    from tensorflow_datasets.core import shuffle

    shuffle.MAX_MEM_BUFFER_SIZE = num_bytes


def read_events(path: str) -> Iterator[tuple[bytes, Any]]:
    """Yields (serialised, `Event`) of the records in one of TensorBoard's event files, in order.

    `RawEventFileLoader`, TensorBoard's own reader, which ends without an error at a record that
    is not whole: what follows one could never be shown. Its public readers keep a sample of the
    events, or none of their bytes. Checked with TensorBoard 2.20 and 2.21.

    Args:
      path: a file; local, or a path of `tf.io.gfile`.
    """
    from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
    from tensorboard.compat.proto import event_pb2

    for record in RawEventFileLoader(path).Load():
        yield record, event_pb2.Event.FromString(record)
