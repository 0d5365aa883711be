"""What an engine leaves on the machine when it is gone, and how to take it away."""

import os
import subprocess
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import psutil

from tests.harness import chains

CGROUPS = Path("/sys/fs/cgroup")
END_SECONDS = 30.0


def end(processes: Iterable[psutil.Process]) -> None:
    """Kill them, and return when they are gone."""
    ended = list(processes)
    for process in ended:
        with suppress(psutil.Error):
            process.kill()
    still_alive(ended)


def still_alive(processes: Iterable[psutil.Process]) -> list[psutil.Process]:
    """Wait for them to end; those that do not in time."""
    deadline = time.monotonic() + END_SECONDS
    alive = list(processes)
    while alive and time.monotonic() < deadline:
        _, alive = psutil.wait_procs(alive, timeout=0.05)
        alive = [process for process in alive if not _is_zombie(process)]
    return alive


def _is_zombie(process: psutil.Process) -> bool:
    """Ended, and its parent does not care: so where the tests that started it are gone."""
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def end_containers(folder: Path) -> None:
    """Those of the engine in `folder`: each has a parent that runs on without the engine."""
    socket = f"{folder}/exec/containerd/containerd.sock"
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if socket in process.cmdline():
                end((*process.children(recursive=True), process))


def remove_bridges(bridges: set[str], policy: str) -> None:
    """And the packet filter's rules about them; `policy` as in `chains.clear`."""
    for bridge in bridges:
        _run("ip", "link", "delete", bridge)
    chains.clear(bridges, policy)


def remove_mounts(folder: Path) -> None:
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    places = [line.split()[4] for line in lines]
    for place in reversed([place for place in places if place.startswith(f"{folder}/")]):
        _run("umount", "--lazy", place)


def remove_cgroups(name: str) -> None:
    """In every hierarchy, where there are several (version 1)."""
    for top in (*CGROUPS.glob(name), *CGROUPS.glob(f"*/{name}")):
        for folder, _, _ in os.walk(top, topdown=False):
            os.rmdir(folder)


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, env={"PATH": chains.PATH})
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
