"""Devices and arithmetic of a run: which strategy, how replicas see each other's embeddings."""

import keras
import tensorflow as tf

from micle_tf.errors import BadInput


def make_strategy(config):
    """Chooses the tf.distribute strategy: every GPU, the virtual CPUs, or one device.

    Args:
      config: reads `strategy` and `virtual_devices`.

    Returns:
      A `tf.distribute.Strategy`; TensorFlow's default one for a single device.

    Raises:
      BadInput: the devices asked for are not there.
    """
    gpus = tf.config.list_physical_devices("GPU")
    wanted = config.virtual_devices
    if wanted > 1:
        if config.strategy == "one_device":
            raise BadInput(f"--virtual_devices={wanted}: --strategy=one_device takes only one")
        # Collectives are keyed by process, so that two strategies of different size in one
        # process would hang each other up; reduction to one device has no such state.
        return tf.distribute.MirroredStrategy(
            _virtual_cpus(wanted), cross_device_ops=tf.distribute.ReductionToOneDevice()
        )
    if config.strategy == "mirrored" and len(gpus) < 2:
        raise BadInput(
            f"--strategy=mirrored: needs several devices, and here is {max(len(gpus), 1)}; "
            "--virtual_devices=2 splits the CPU"
        )
    if len(gpus) > 1 and config.strategy != "one_device":
        return tf.distribute.MirroredStrategy()
    return tf.distribute.get_strategy()


def _virtual_cpus(wanted):
    cpu = tf.config.list_physical_devices("CPU")[0]
    try:
        if len(tf.config.get_logical_device_configuration(cpu) or [None]) < wanted:
            tf.config.set_logical_device_configuration(
                cpu, [tf.config.LogicalDeviceConfiguration()] * wanted
            )
    except RuntimeError:
        raise BadInput(
            f"--virtual_devices={wanted}: TensorFlow has started with fewer in this process"
        ) from None
    return [f"/cpu:{number}" for number in range(wanted)]


def describe(strategy):
    """ "MirroredStrategy on 2 CPUs, synchronised batch norm" and the like."""
    count = strategy.num_replicas_in_sync
    kind = "GPU" if tf.config.list_physical_devices("GPU") else "CPU"
    if count == 1:
        return f"one device ({kind}), fused batch norm"
    return f"{type(strategy).__name__} on {count} {kind}s, synchronised batch norm"


def set_precision(precision):
    """Sets Keras's arithmetic for the models built from now on; one of --precision's choices."""
    keras.config.set_floatx("float64" if precision == "float64" else "float32")
    keras.config.set_dtype_policy(precision)


def mean_over_replicas(x):
    """The mean of a scalar over all replicas, for losses that divide by a global count."""
    context = tf.distribute.get_replica_context()
    if context.num_replicas_in_sync == 1:
        return x
    return context.all_reduce(tf.distribute.ReduceOp.MEAN, x)


def gather_replicas(x):
    """Puts the x of all replicas one under the other; for `nt_xent(gather=...)`.

    As in SimCLR, by adding up blocks that are zero but for the replica's own: static
    shapes, which TPUs need, and a gradient that sums over replicas by itself.

    Args:
      x: [n, ...], on every replica.

    Returns:
      ([replicas * n, ...], offset): this replica's x starts at row offset.
    """
    context = tf.distribute.get_replica_context()
    count, own = context.num_replicas_in_sync, context.replica_id_in_sync_group
    if count == 1:
        return x, 0
    n = x.shape[0]
    blocks = tf.scatter_nd([[own]], x[None], [count, *x.shape])
    everything = context.all_reduce(tf.distribute.ReduceOp.SUM, blocks)
    return tf.reshape(everything, [count * n, *x.shape[1:]]), own * n
