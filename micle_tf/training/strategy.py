"""Devices and arithmetic of a run: which strategy, how replicas see each other's embeddings."""

import os

import keras
import tensorflow as tf

from micle_tf import cluster, console
from micle_tf.config.run import ONEDNN
from micle_tf.errors import BadInput, Stopped
from micle_tf.exits import interrupt_on_sigterm


def make_strategy(devices):
    """Makes the tf.distribute strategy that --strategy asks for; see `cluster.choose`.

    To be called before TensorFlow runs its first operation, and once in a process: workers
    and TPUs are joined then.

    Args:
      devices: `Devices`.

    Returns:
      A `tf.distribute.Strategy`; TensorFlow's default one for a single device.

    Raises:
      BadInput: the devices asked for are not there, or TF_CONFIG cannot be used.
      Stopped: another worker, or the TPU, is not there in time.
    """
    gpus = tf.config.list_physical_devices("GPU")
    kind = cluster.choose(devices, len(gpus))
    if kind == "tpu":
        return _tpu(devices)
    if kind == "multi_worker":
        return _multi_worker(cluster.from_environment())
    if kind == "one_device":
        return tf.distribute.get_strategy()
    if devices.virtual_devices > 1:
        # Collectives are keyed by process, so that two strategies of different size in one
        # process would hang each other up; reduction to one device has no such state.
        return tf.distribute.MirroredStrategy(
            _virtual_cpus(devices.virtual_devices),
            cross_device_ops=tf.distribute.ReductionToOneDevice(),
        )
    if len(gpus) < 2:
        raise BadInput(
            f"--strategy=mirrored: needs several devices, and here is {max(len(gpus), 1)}; "
            "--virtual_devices=2 splits the CPU"
        )
    # Named one by one, because TensorFlow would take those of all of TF_CONFIG's workers.
    return tf.distribute.MirroredStrategy([f"/gpu:{number}" for number in range(len(gpus))])


def _multi_worker(workers):
    """Joins the workers; each takes its GPUs, or its CPU."""
    resolver = cluster.resolver_of(workers)
    cluster.wait_for_workers(workers)
    try:
        return tf.distribute.MultiWorkerMirroredStrategy(resolver)
    except tf.errors.OpError as error:
        raise Stopped(f"the workers cannot be joined ({_one_line(error)}): {workers}") from None
    finally:
        interrupt_on_sigterm()  # TensorFlow has put a handler of its own in the place of ours


def _tpu(devices):
    """Joins a TPU: the one of --tpu_name, or the one that this machine is a part of."""
    name = devices.tpu_name or "local"
    flag = f"--tpu_name={name}" if devices.tpu_name else "--strategy=tpu"
    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver(
            tpu=name, zone=devices.tpu_zone or None, project=devices.gcp_project or None
        )
        hosts = resolver.cluster_spec().as_dict().get("worker", [])
    except Exception as error:  # of Google's client, network, credentials
        if "not yet ready" in str(error):
            raise Stopped(f"{flag}: {_one_line(error)}") from None
        raise BadInput(f"{flag}: {_one_line(error)}") from None
    cluster.wait_for_answers({f"TPU worker {i}": host for i, host in enumerate(hosts)}, seconds=60)
    try:
        tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
    except tf.errors.OpError as error:
        # The first from plain TensorFlow, the second from tensorflow-tpu without a TPU.
        if name == "local" and isinstance(
            error, (tf.errors.NotFoundError, tf.errors.InternalError)
        ):
            raise BadInput(f"{flag}: no TPU here; tensorflow-tpu finds one on a TPU VM") from None
        raise Stopped(f"{flag}: the TPU does not start: {_one_line(error)}") from None
    return tf.distribute.TPUStrategy(resolver)


def _one_line(error):
    """The beginning of an exception's message; some of TensorFlow's fill a page."""
    return " ".join(str(error).split())[:300] or type(error).__name__


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
    count, name = strategy.num_replicas_in_sync, "MirroredStrategy"
    kind = "GPU" if tf.config.get_visible_devices("GPU") else "CPU"
    if isinstance(strategy, tf.distribute.TPUStrategy):
        name, kind = "TPUStrategy", "TPU core"
    norm = "synchronised batch norm" if count > 1 else "fused batch norm"
    if isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        hosts = strategy.cluster_resolver.cluster_spec().as_dict().values()
        workers = sum(map(len, hosts))
        each = console.count(count // workers, kind)
        return (
            f"MultiWorkerMirroredStrategy, {console.count(workers, 'worker')} with {each} each, "
            f"{norm}"
        )
    if count == 1:
        return f"one device ({kind}), {norm}"
    return f"{name} on {console.count(count, kind)}, {norm}"


def check_kernels(cpu_kernels):
    """Says so if TensorFlow was loaded with other kernels than --cpu_kernels, as in a notebook."""
    if cpu_kernels == "onednn" and os.environ.get(ONEDNN) != "1":
        console.say(
            f"note: --cpu_kernels={cpu_kernels}: TensorFlow was loaded without them; "
            f"{ONEDNN}=1 in the environment has them from the start"
        )


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
    count, replica = context.num_replicas_in_sync, context.replica_id_in_sync_group
    if count == 1:
        return x, 0
    if x.dtype == tf.int64:  # which TPUs do not add up; its halves can be
        halves, offset = gather_replicas(tf.bitcast(x, tf.int32))
        return tf.bitcast(halves, tf.int64), offset
    n = x.shape[0]
    blocks = tf.scatter_nd([[replica]], x[None], [count, *x.shape])
    everything = context.all_reduce(tf.distribute.ReduceOp.SUM, blocks)
    return tf.reshape(everything, [count * n, *x.shape[1:]]), replica * n
