"""How every container is locked in, whether it runs an app or installs packages."""

from collections.abc import Sequence
from typing import Any

TEMPORARY_BYTES = 512 * 1024 * 1024
SHARED_MEMORY_BYTES = 256 * 1024 * 1024
"""Libraries that compute with several processes want more than the engine's 64 MB."""
LOG_BYTES = "10m"


def locked_in(
    *,
    network: str,
    memory_bytes: int | None,
    cpu: float | None,
    processes: int | None,
    open_files: int | None,
    mounts: Sequence[dict[str, Any]] = (),
    read_only: bool = True,
) -> dict[str, Any]:
    """The `HostConfig` of a container: nothing but its own files, its network and its limits.

    What is written to /tmp and /dev/shm counts as the container's memory.
    """
    config: dict[str, Any] = {
        "NetworkMode": network,
        "CapDrop": ["ALL"],
        "SecurityOpt": ["no-new-privileges:true"],
        "ReadonlyRootfs": read_only,
        "Tmpfs": {"/tmp": f"rw,nosuid,nodev,exec,mode=1777,size={TEMPORARY_BYTES}"},
        "ShmSize": SHARED_MEMORY_BYTES,
        "Mounts": list(mounts),
        "IpcMode": "private",
        "CgroupnsMode": "private",
        "PidsLimit": processes,
        # The platform's own processes are to outlive those of apps when memory runs out.
        "OomScoreAdj": 500,
        "RestartPolicy": {"Name": "no"},
        "LogConfig": {"Type": "local", "Config": {"max-size": LOG_BYTES, "max-file": "2"}},
    }
    if memory_bytes:
        config |= {"Memory": memory_bytes, "MemorySwap": memory_bytes}
    if cpu:
        config["NanoCpus"] = int(cpu * 1e9)
    if open_files:
        config["Ulimits"] = [{"Name": "nofile", "Soft": open_files, "Hard": open_files}]
    return config
