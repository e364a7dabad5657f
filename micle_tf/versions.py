"""What a bug report says about the machine and the libraries; nothing that tells who it is of."""

import contextlib
import os
import platform
from importlib import metadata

_LIBRARIES = (
    "tensorflow", "keras", "tensorflow-datasets", "array_record", "numpy", "scikit-learn",
    "simplejpeg", "tensorboard", "protobuf", "pydicom", "apache-beam",
)  # fmt: skip


def show_versions(version: str) -> None:
    """Prints a block for bug reports: versions, devices, memory. No names, no paths.

    `version` is that of this package.

    Imports TensorFlow, to ask it for devices.
    """
    print("\n".join(f"{name:20s} {value}" for name, value in _facts(version).items()), flush=True)


def _facts(version: str) -> dict[str, str]:
    facts = {"micle-tf": version, "python": platform.python_version()}
    facts["system"] = f"{platform.system()} {platform.release()}, {platform.machine()}"
    for name in _LIBRARIES:
        try:
            facts[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            facts[name] = "not installed"
    return facts | {"devices": _devices(), "processors": str(_processors()), "memory": _memory()}


def _devices() -> str:
    try:
        import tensorflow as tf
    except Exception as error:  # a broken installation is what is reported
        return f"TensorFlow does not load ({type(error).__name__})"
    shown = []
    for device in tf.config.list_physical_devices():
        details = {}
        if device.device_type != "CPU":
            with contextlib.suppress(tf.errors.OpError, ValueError):
                details = tf.config.experimental.get_device_details(device)
        name = details.get("device_name", "")
        shown.append(f"{device.device_type}{name and f' ({name})'}")
    return ", ".join(shown)


def _processors() -> int | None:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count()


def _memory() -> str:
    """ "23.5 GiB", with a container's limit where there is a lower one."""
    try:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return "not known"
    limit = total
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        with contextlib.suppress(OSError, ValueError), open(path, encoding="ascii") as file:
            limit = min(limit, int(file.read()))
    shown = f"{total / 2**30:.1f} GiB"
    return shown if limit == total else f"{shown}, {limit / 2**30:.1f} GiB allowed"
