"""Which machines train together: this one, the workers of TF_CONFIG or of Slurm, or a TPU.

All workers of one cluster are one job. TF_CONFIG is what Kubernetes and Vertex set; see
https://www.tensorflow.org/guide/distributed_training#setting_up_the_tf_config_environment_variable
"""

import contextlib
import dataclasses
import json
import os
import socket
import time
from collections.abc import Mapping

import tensorflow as tf

from micle_tf import console
from micle_tf.errors import BadInput, Stopped
from micle_tf.settings import Tag, tagged

_WAIT_SECONDS = 600


@dataclasses.dataclass(frozen=True)
class Cluster:
    """The workers of a job, and which of them this process is.

    Attributes:
      index: this worker's, from 0; 0 is the chief, which alone writes.
      addresses: {"worker 1": "host:port"} of all workers in the order of their index, by
        the names that TensorFlow's messages have for them ("chief" where TF_CONFIG has
        one); empty on one machine.
    """

    index: int = 0
    addresses: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @classmethod
    def of(cls, devices):
        """The cluster of `Devices` in this environment; raises BadInput as `choose` does."""
        return from_environment() if choose(devices) == "multi_worker" else cls()

    @property
    def is_chief(self):
        """Whether this process is the one that writes."""
        return self.index == 0

    @property
    def size(self):
        """The number of workers; 1 on one machine."""
        return max(1, len(self.addresses))

    def __str__(self):
        """ "worker 0 at 10.0.0.1:2222, worker 1 at 10.0.0.2:2222"."""
        return ", ".join(f"{name} at {address}" for name, address in self.addresses.items())


def choose(devices, num_gpus=0):
    """What --strategy comes to on this machine.

    Args:
      devices: `Devices`.
      num_gpus: how many GPUs are here; only `auto` asks.

    Returns:
      "one_device", "mirrored", "multi_worker" or "tpu".

    Raises:
      BadInput: flags that contradict each other, or a TF_CONFIG that cannot be read.
    """
    kind, wanted = devices.strategy, devices.virtual_devices
    if kind == "auto":
        kind = _found(devices, num_gpus)
    for name in tagged(devices, Tag.TPU):
        if getattr(devices, name) and kind != "tpu":
            raise BadInput(f"--{name}={getattr(devices, name)}: {_NEEDS_TPU[devices.strategy]}")
    if (devices.tpu_zone or devices.gcp_project) and not devices.tpu_name:
        raise BadInput("--tpu_zone and --gcp_project: say where --tpu_name is; name it")
    if wanted > 1 and kind != "mirrored":
        one = {"multi_worker": "a worker takes its GPUs or its one CPU", "tpu": "a TPU has its own"}
        reason = one.get(kind, "--strategy=one_device takes only one")
        raise BadInput(f"--virtual_devices={wanted}: {reason}")
    return kind


_NEEDS_TPU = {
    "auto": "needs --tpu_name",
    "one_device": "--strategy=one_device uses no TPU",
    "mirrored": "--strategy=mirrored uses no TPU",
    "multi_worker": "--strategy=multi_worker uses no TPU",
}


def _found(devices, num_gpus):
    """What `auto` takes: a TPU that is named, a cluster, several devices, or one."""
    if devices.tpu_name:
        return "tpu"
    if os.environ.get("TF_CONFIG") and from_tf_config().size > 1:
        return "multi_worker"
    return "mirrored" if num_gpus > 1 or devices.virtual_devices > 1 else "one_device"


def from_environment():
    """The `Cluster` that TF_CONFIG or, without one, Slurm describes; raises BadInput."""
    if os.environ.get("TF_CONFIG"):
        return from_tf_config()
    if "SLURM_PROCID" in os.environ:
        return from_slurm()
    raise BadInput("--strategy=multi_worker: needs TF_CONFIG, or workers started by Slurm's srun")


def from_tf_config():  # noqa: C901 - one check after the other
    """The `Cluster` that TF_CONFIG describes.

    Raises:
      BadInput: it is not JSON, has no cluster or no task, or a task that does not train.
    """
    try:
        stated = json.loads(os.environ["TF_CONFIG"])
    except ValueError as error:
        raise BadInput(f"TF_CONFIG: not JSON ({error})") from None
    jobs = stated.get("cluster") if isinstance(stated, dict) else None
    if not jobs or not isinstance(jobs, dict):
        raise BadInput('TF_CONFIG: no "cluster"; {"cluster": {"worker": ["host:port", ...]}, ...}')
    for job, hosts in jobs.items():
        if job not in ("chief", "worker"):
            raise BadInput(f"TF_CONFIG: the cluster has a {job}; training knows chief and worker")
        if not isinstance(hosts, list) or not all(map(_is_address, hosts)):
            raise BadInput(f'TF_CONFIG: "{job}" is not a list of "host:port"')
    chiefs, workers = jobs.get("chief", []), jobs.get("worker", [])
    if len(chiefs) > 1:
        raise BadInput(f"TF_CONFIG: {len(chiefs)} chiefs; there is at most one")
    addresses = {"chief": chiefs[0]} if chiefs else {}
    addresses |= {f"worker {number}": host for number, host in enumerate(workers)}
    if len(set(addresses.values())) < len(addresses):
        raise BadInput("TF_CONFIG: two workers have the same address")
    task = stated.get("task")
    if not isinstance(task, dict) or not {"type", "index"} <= set(task):
        raise BadInput('TF_CONFIG: no "task"; {"task": {"type": "worker", "index": 0}, ...}')
    name = "chief" if task["type"] == "chief" else f"{task['type']} {task['index']}"
    if task["type"] not in ("chief", "worker"):
        raise BadInput(f"TF_CONFIG: this is a task {name}; training knows chief and worker")
    if name not in addresses or (name == "chief" and str(task["index"]) != "0"):
        raise BadInput(
            f"TF_CONFIG: no task {task['type']} {task['index']} among {', '.join(addresses)}"
        )
    return Cluster(list(addresses).index(name), addresses)


def _is_address(text):
    return isinstance(text, str) and text.rpartition(":")[0] and text.rpartition(":")[2].isdecimal()


def from_slurm():
    """The `Cluster` of a Slurm job step, one worker per task of `srun`.

    Names and ports of the hosts are those of `tf.distribute`'s SlurmClusterResolver. Its
    idea of which of them we are is not used: it sorts hosts as text (node10 before node9)
    where Slurm's ranks do not, so we look for our node and our number on it.

    Raises:
      BadInput: not started by `srun`, or by one whose variables make no sense.
    """
    try:
        variables = {name: int(os.environ[f"SLURM_{name}"]) for name in _SLURM_NUMBERS}
        # Any share of GPUs will do here, but with none at all the resolver would fail.
        resolver = tf.distribute.cluster_resolver.SlurmClusterResolver(
            port_base=_port_base(variables["JOB_ID"] + variables["STEP_ID"]),
            gpus_per_node=variables["STEP_NUM_TASKS"],
            gpus_per_task=1,
            auto_set_gpu=False,
        )
        hosts = resolver.cluster_spec().as_dict()["worker"]
        node, number = os.environ["SLURMD_NODENAME"], variables["LOCALID"]
    except KeyError as error:
        raise BadInput(
            f"--strategy=multi_worker: {error.args[0]} is not set; start the workers with srun"
        ) from None
    except (RuntimeError, ValueError) as error:
        raise BadInput(f"--strategy=multi_worker: Slurm's variables: {error}") from None
    here = [index for index, host in enumerate(hosts) if host.rpartition(":")[0] == node]
    if number >= len(here):
        raise BadInput(
            f"--strategy=multi_worker: Slurm's variables: task {number} of {node} is not among "
            f"{', '.join(hosts)}"
        )
    return Cluster(here[number], {f"worker {index}": host for index, host in enumerate(hosts)})


_SLURM_NUMBERS = ("JOB_ID", "STEP_ID", "STEP_NUM_TASKS", "LOCALID")


def _port_base(number):
    """Ports of a job on its nodes, so that two jobs on one node rarely take the same."""
    return 10_000 + 64 * (number % 300)  # below those that Linux gives to clients


def resolver_of(cluster):
    """TensorFlow's resolver of a cluster; under Slurm, takes this task's share of the GPUs."""
    if os.environ.get("TF_CONFIG"):
        return tf.distribute.cluster_resolver.TFConfigClusterResolver()
    hosts = list(cluster.addresses.values())
    gpus = slurm_share(tf.config.list_physical_devices("GPU"), cluster)
    tf.config.set_visible_devices(gpus, "GPU")
    return tf.distribute.cluster_resolver.SimpleClusterResolver(
        tf.train.ClusterSpec({"worker": hosts}),
        task_type="worker",
        task_id=cluster.index,
        num_accelerators={"GPU": len(gpus)},
        rpc_layer="grpc",
    )


def slurm_share(gpus, cluster):
    """This task's part of the GPUs it sees: all of them if Slurm has shared them out itself."""
    hosts = list(cluster.addresses.values())
    node = hosts[cluster.index].rpartition(":")[0]
    here = [index for index, host in enumerate(hosts) if host.rpartition(":")[0] == node]
    each = len(gpus) // len(here)
    if "SLURM_GPUS_PER_TASK" in os.environ or not each:
        return list(gpus)
    first = here.index(cluster.index) * each
    return list(gpus[first : first + each])


def wait_for_workers(cluster, seconds=_WAIT_SECONDS):
    """Returns when every worker answers at its address, and shows at ours that we are here.

    TensorFlow's own waiting has no end on the chief, and it swallows SIGTERM meanwhile.

    Args:
      cluster: `Cluster`.
      seconds: how long to wait.

    Raises:
      Stopped: a worker was not there in time, or something else has our port.
    """
    if cluster.size > 1:
        console.say(f"waiting for {console.count(cluster.size, 'worker')}: {cluster}")
    own_name = list(cluster.addresses)[cluster.index]
    others = {name: host for name, host in cluster.addresses.items() if name != own_name}
    with _listening(own_name, cluster.addresses[own_name]):
        wait_for_answers(others, seconds)


def wait_for_answers(addresses, seconds):
    """Returns when something answers at each of {name: "host:port"}; else raises Stopped."""
    end = time.monotonic() + seconds
    while addresses:
        addresses = {name: host for name, host in addresses.items() if not _answers(host)}
        if addresses and time.monotonic() > end:
            raise Stopped(f"no answer in {seconds:g} s from {Cluster(0, addresses)}")
        time.sleep(0.2 if addresses else 0)


@contextlib.contextmanager
def _listening(name, address):
    """Holds the port of an address open, as TensorFlow's server will do afterwards."""
    dual = socket.has_dualstack_ipv6()
    with socket.socket(socket.AF_INET6 if dual else socket.AF_INET) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if dual:  # IPv4 too
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        try:
            listener.bind(("", int(address.rpartition(":")[2])))
            listener.listen()
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or error
            raise Stopped(
                f"{name}, this one, cannot have its port at {address}: {reason}"
            ) from None
        yield


def _answers(address):
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=5).close()
    except (OSError, OverflowError):
        return False
    return True
