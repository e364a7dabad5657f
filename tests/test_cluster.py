"""Which flags and environment lead to which machines, and how these find each other."""

import json
import socket
import threading

import pytest
import tensorflow as tf

from micle_tf import cluster
from micle_tf.cluster import Cluster
from micle_tf.config import Config
from micle_tf.errors import BadInput, Stopped

HOSTS = ["10.0.0.1:2222", "10.0.0.2:2222"]
WORKERS = {"worker 0": HOSTS[0], "worker 1": HOSTS[1]}


pytestmark = pytest.mark.usefixtures("no_cluster")


@pytest.fixture
def tf_config(monkeypatch):
    def put(jobs=None, kind="worker", index=0, **changes):
        jobs = {"worker": HOSTS} if jobs is None else jobs
        found = {"cluster": jobs, "task": {"type": kind, "index": index}} | changes
        monkeypatch.setenv("TF_CONFIG", json.dumps(found))

    return put


@pytest.fixture
def slurm(monkeypatch):
    def put(**variables):
        usual = {
            "PROCID": 1, "LOCALID": 0, "JOB_ID": 301, "STEP_ID": 0, "STEP_NUM_TASKS": 4,
            "STEP_NODELIST": "node[9-10]", "STEP_TASKS_PER_NODE": "2(x2)", "GPUS_PER_TASK": None,
        }  # fmt: skip
        node = {"SLURMD_NODENAME": variables.pop("node", "node9")}
        named = {f"SLURM_{name}": value for name, value in (usual | variables).items()}
        for name, value in (named | node).items():
            if value is None:
                monkeypatch.delenv(name, raising=False)
            else:
                monkeypatch.setenv(name, str(value))

    return put


def refused(call, *args):
    with pytest.raises(BadInput) as caught:
        call(*args)
    return str(caught.value)


# ------------------------------------------------------------ which one


@pytest.mark.parametrize(
    "settings, workers, num_gpus, kind",
    [
        ({}, 0, 0, "one_device"),
        ({}, 0, 1, "one_device"),
        ({}, 0, 2, "mirrored"),
        ({"virtual_devices": 2}, 0, 0, "mirrored"),
        ({}, 1, 0, "one_device"),
        ({}, 1, 4, "mirrored"),
        ({}, 2, 0, "multi_worker"),
        ({}, 2, 4, "multi_worker"),
        ({"tpu_name": "v3"}, 2, 4, "tpu"),
        ({"strategy": "tpu"}, 2, 4, "tpu"),
        ({"strategy": "one_device"}, 2, 4, "one_device"),
        ({"strategy": "mirrored"}, 2, 4, "mirrored"),
        ({"strategy": "multi_worker"}, 1, 0, "multi_worker"),
    ],
)
def test_choice(settings, workers, num_gpus, kind, tf_config):
    if workers:
        tf_config({"worker": HOSTS[:workers]})
    assert cluster.choose(Config(**settings), num_gpus) == kind


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"tpu_zone": "b"}, "--tpu_zone=b: needs --tpu_name"),
        ({"tpu_name": "v3", "strategy": "one_device"},
         "--tpu_name=v3: --strategy=one_device uses no TPU"),
        ({"tpu_name": "v3", "strategy": "mirrored"},
         "--tpu_name=v3: --strategy=mirrored uses no TPU"),
        ({"gcp_project": "p", "strategy": "multi_worker"},
         "--gcp_project=p: --strategy=multi_worker uses no TPU"),
        ({"gcp_project": "p", "strategy": "tpu"},
         "--tpu_zone and --gcp_project: say where --tpu_name is; name it"),
        ({"virtual_devices": 2, "strategy": "one_device"},
         "--virtual_devices=2: --strategy=one_device takes only one"),
        ({"virtual_devices": 2, "strategy": "multi_worker"},
         "--virtual_devices=2: a worker takes its GPUs or its one CPU"),
        ({"virtual_devices": 2, "tpu_name": "v3"}, "--virtual_devices=2: a TPU has its own"),
    ],
)  # fmt: skip
def test_contradictions(settings, message):
    assert refused(cluster.choose, Config(**settings)) == message


# ------------------------------------------------------------ TF_CONFIG


def test_workers_of_tf_config(tf_config):
    assert Cluster.of(Config()) == Cluster(0, {})
    assert Cluster.of(Config()).is_chief and Cluster.of(Config()).size == 1
    tf_config(index=1)
    found = Cluster.of(Config())
    assert found == Cluster(1, WORKERS) and not found.is_chief and found.size == 2
    assert str(found) == "worker 0 at 10.0.0.1:2222, worker 1 at 10.0.0.2:2222"
    assert Cluster.of(Config(strategy="mirrored")) == Cluster(0, {})
    assert Cluster.of(Config(tpu_name="v3")) == Cluster(0, {})
    tf_config({"worker": HOSTS[:1], "chief": ["a:1"]})
    assert Cluster.of(Config()) == Cluster(1, {"chief": "a:1", "worker 0": HOSTS[0]})
    tf_config({"worker": HOSTS[:1], "chief": ["a:1"]}, "chief")
    assert Cluster.of(Config()).index == 0


def test_index_is_tensorflows_own(tf_config):
    from tensorflow.python.distribute import multi_worker_util

    for jobs in ({"worker": HOSTS}, {"chief": ["a:1"], "worker": HOSTS}):
        for kind in jobs:
            for index in range(len(jobs[kind])):
                tf_config(jobs, kind, index)
                found = Cluster.of(Config())
                assert found.index == multi_worker_util.id_in_cluster(jobs, kind, index)
                assert found.is_chief == multi_worker_util.is_chief(jobs, kind, index)
                assert list(found.addresses.values())[found.index] == jobs[kind][index]


@pytest.mark.parametrize(
    "changes, message",
    [
        (
            {"cluster": {}},
            'TF_CONFIG: no "cluster"; {"cluster": {"worker": ["host:port", ...]}, ...}',
        ),
        (
            {"cluster": ["a:1"]},
            'TF_CONFIG: no "cluster"; {"cluster": {"worker": ["host:port", ...]}, ...}',
        ),
        ({"cluster": {"worker": "a:1"}}, 'TF_CONFIG: "worker" is not a list of "host:port"'),
        ({"cluster": {"worker": ["a"]}}, 'TF_CONFIG: "worker" is not a list of "host:port"'),
        (
            {"cluster": {"worker": HOSTS, "ps": ["c:1"]}},
            "TF_CONFIG: the cluster has a ps; training knows chief and worker",
        ),
        ({"cluster": {"chief": HOSTS}}, "TF_CONFIG: 2 chiefs; there is at most one"),
        ({"cluster": {"worker": ["a:1", "a:1"]}}, "TF_CONFIG: two workers have the same address"),
        ({"task": {}}, 'TF_CONFIG: no "task"; {"task": {"type": "worker", "index": 0}, ...}'),
        (
            {"task": {"type": "ps", "index": 0}},
            "TF_CONFIG: this is a task ps 0; training knows chief and worker",
        ),
        (
            {"task": {"type": "evaluator", "index": 0}},
            "TF_CONFIG: this is a task evaluator 0; training knows chief and worker",
        ),
        (
            {"task": {"type": "worker", "index": 2}},
            "TF_CONFIG: no task worker 2 among worker 0, worker 1",
        ),
        (
            {"task": {"type": "worker", "index": -1}},
            "TF_CONFIG: no task worker -1 among worker 0, worker 1",
        ),
        (
            {"task": {"type": "chief", "index": 0}},
            "TF_CONFIG: no task chief 0 among worker 0, worker 1",
        ),
    ],
)
def test_bad_tf_config(changes, message, tf_config):
    tf_config(**changes)
    assert refused(cluster.choose, Config()) == message
    assert refused(Cluster.of, Config(strategy="multi_worker")) == message


# ------------------------------------------------------------ Slurm


def test_workers_of_slurm(slurm):
    """Every task finds itself at an address of its own node, each at another one."""
    slurm()
    assert Cluster.of(Config()) == Cluster(0, {})
    found = []
    for node in ("node9", "node10"):
        for number in (0, 1):
            slurm(node=node, LOCALID=number)
            workers = Cluster.of(Config(strategy="multi_worker"))
            port = 10_000 + 64 * 1 + number  # of job 301
            assert list(workers.addresses.values())[workers.index] == f"{node}:{port}"
            found.append(workers.index)
    assert sorted(found) == [0, 1, 2, 3]
    slurm(STEP_ID=1)
    assert "node9:10128" in Cluster.of(Config(strategy="multi_worker")).addresses.values()


@pytest.mark.parametrize(
    "variables, message",
    [
        ({"STEP_NUM_TASKS": None}, "SLURM_STEP_NUM_TASKS is not set; start the workers with srun"),
        ({"node": None}, "SLURMD_NODENAME is not set; start the workers with srun"),
        (
            {"STEP_NODELIST": None},
            "Slurm's variables: SLURM_STEP_NODELIST not found in environment. Not running inside a "
            "SLURM step?",
        ),
        ({"STEP_NUM_TASKS": 3}, "Slurm's variables: Requested 3 tasks but only 4 were assigned."),
        (
            {"LOCALID": 2},
            "Slurm's variables: task 2 of node9 is not among node10:10064, node10:10065, "
            "node9:10064, node9:10065",
        ),
        ({"LOCALID": "x"}, "Slurm's variables: invalid literal for int() with base 10: 'x'"),
    ],
)
def test_bad_slurm(variables, message, slurm):
    slurm(**variables)
    assert refused(Cluster.of, Config(strategy="multi_worker")) == (
        f"--strategy=multi_worker: {message}"
    )


@pytest.mark.parametrize(
    "num_gpus, bound, shares",
    [
        (0, None, [[], []]),
        (1, 1, [[0], [0]]),  # each task sees its own as number 0
        (2, None, [[0], [1]]),
        (4, None, [[0, 1], [2, 3]]),
        (4, 4, [[0, 1, 2, 3]] * 2),
    ],
)
def test_share_of_gpus(num_gpus, bound, shares, slurm):
    for number, share in enumerate(shares):
        slurm(LOCALID=number, GPUS_PER_TASK=bound)
        workers = Cluster.of(Config(strategy="multi_worker"))
        assert cluster.slurm_share(list(range(num_gpus)), workers) == share


def test_resolver_of_slurm(slurm):
    slurm(node="node10", LOCALID=1)
    workers = Cluster.of(Config(strategy="multi_worker"))
    resolver = cluster.resolver_of(workers)
    assert resolver.cluster_spec().as_dict() == {"worker": list(workers.addresses.values())}
    assert (resolver.task_type, resolver.task_id, resolver.rpc_layer) == ("worker", 1, "grpc")
    assert resolver.num_accelerators() == {"GPU": 0}


def test_resolver_of_tf_config(tf_config):
    tf_config({"chief": HOSTS[:1], "worker": HOSTS[1:]}, "worker", 0)
    resolver = cluster.resolver_of(Cluster.of(Config()))
    assert type(resolver) is tf.distribute.cluster_resolver.TFConfigClusterResolver
    assert resolver.cluster_spec().as_dict() == {"chief": HOSTS[:1], "worker": HOSTS[1:]}
    assert (resolver.task_type, resolver.task_id) == ("worker", 0)


# ------------------------------------------------------------ waiting


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def on_loopback(count, index=0):
    ports = free_ports(count)
    return Cluster(index, {f"worker {i}": f"127.0.0.1:{port}" for i, port in enumerate(ports)})


def test_workers_find_each_other(capsys):
    """Whoever is through keeps its port open, as TensorFlow's server does."""
    workers, through = on_loopback(3), []

    def arrive(index):
        cluster.wait_for_workers(Cluster(index, workers.addresses), seconds=20)
        through.append(index)
        with cluster._listening("", list(workers.addresses.values())[index]):
            done.wait(20)

    done = threading.Event()
    threads = [threading.Thread(target=arrive, args=(index,)) for index in (1, 2)]
    for thread in threads:
        thread.start()
    assert through == []
    cluster.wait_for_workers(workers, seconds=20)
    with cluster._listening("", workers.addresses["worker 0"]):
        while len(through) < 2 and any(thread.is_alive() for thread in threads):
            done.wait(0.01)
    done.set()
    for thread in threads:
        thread.join()
    assert sorted(through) == [1, 2]
    assert f"waiting for 3 workers: {workers}\n" in capsys.readouterr().out


def test_a_worker_that_does_not_come_is_named():
    workers = on_loopback(2)
    with pytest.raises(Stopped) as caught:
        cluster.wait_for_workers(workers, seconds=0.3)
    missing = workers.addresses["worker 1"]
    assert str(caught.value) == f"no answer in 0.3 s from worker 1 at {missing}"


def test_a_port_that_is_taken_is_named():
    workers = on_loopback(2, index=1)
    address = workers.addresses["worker 1"]
    with cluster._listening("", address), pytest.raises(Stopped) as caught:
        cluster.wait_for_workers(workers, seconds=5)
    assert str(caught.value) == (
        f"worker 1, this one, cannot have its port at {address}: Address already in use"
    )
