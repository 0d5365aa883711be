"""Limits that the kernel keeps, where we may write to its control groups (as root, mostly).

Version 1 has a tree per controller, version 2 one tree; the same three limits in both. Sources:
Documentation/admin-guide/cgroup-v1/ and cgroup-v2.rst of the kernel.
"""

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path

from services.scheduler.engines.protocol import Limits

ROOT = Path("/sys/fs/cgroup")
CONTROLLERS = ("memory", "pids", "cpu")
PERIOD_US = 100_000


@dataclass(frozen=True)
class Cgroups:
    """The control groups of one data folder; `version` 0 where none can be made."""

    version: int
    name: str

    def prepare(self, instance: str, limits: Limits) -> list[Path]:
        """Make the instance's groups with their limits; the folders a process has to join."""
        folders = self.folders(instance)
        for folder in folders:
            folder.mkdir(parents=True, exist_ok=True)
        if self.version == 1:
            memory, pids, cpu = folders
            _limit(memory / "memory.limit_in_bytes", limits.memory_bytes)
            _limit(pids / "pids.max", limits.processes)
            quota = None if limits.cpu is None else int(limits.cpu * PERIOD_US)
            _limit(cpu / "cpu.cfs_quota_us", quota)
        elif self.version == 2:
            (folder,) = folders
            _limit(folder / "memory.max", limits.memory_bytes)
            _limit(folder / "memory.swap.max", 0 if limits.memory_bytes else None)
            _limit(folder / "pids.max", limits.processes)
            if limits.cpu is not None:
                _write(folder / "cpu.max", f"{int(limits.cpu * PERIOD_US)} {PERIOD_US}")
        return folders

    def folders(self, instance: str) -> list[Path]:
        if self.version == 1:
            return [ROOT / controller / self.name / instance for controller in CONTROLLERS]
        return [ROOT / self.name / instance] if self.version == 2 else []

    def processes(self, instance: str) -> set[int]:
        """Every process of the instance, also one that has left its parent."""
        folders = self.folders(instance)
        if not folders:
            return set()
        with contextlib.suppress(OSError):
            return {int(pid) for pid in (folders[0] / "cgroup.procs").read_text().split()}
        return set()

    def memory_bytes(self, instance: str) -> int | None:
        name = {1: "memory.usage_in_bytes", 2: "memory.current"}.get(self.version)
        with contextlib.suppress(OSError, ValueError):
            return int((self.folders(instance)[0] / name).read_text()) if name else None
        return None

    def ran_out_of_memory(self, instance: str) -> bool:
        """Did the kernel kill a process of the instance for want of memory?"""
        name = {1: "memory.oom_control", 2: "memory.events"}.get(self.version)
        with contextlib.suppress(OSError):
            for line in (self.folders(instance)[0] / name).read_text().splitlines() if name else []:
                key, _, value = line.partition(" ")
                if key == "oom_kill" and int(value):
                    return True
        return False

    def remove(self, instance: str) -> bool:
        """Remove the instance's groups and their counters; False while something is left in one."""
        for folder in self.folders(instance):
            with contextlib.suppress(OSError):
                folder.rmdir()
        return not any(folder.exists() for folder in self.folders(instance))


def find_cgroups(name: str) -> Cgroups:
    """The version that can be written to here, tried for real."""
    for version in (2, 1):
        found = Cgroups(version, name)
        try:
            if version == 2:
                _delegate(ROOT / name)
            elif not all((ROOT / controller / "tasks").exists() for controller in CONTROLLERS):
                continue
            found.prepare(".probe", Limits(memory_bytes=1 << 30, processes=100, cpu=1.0))
            ok = bool(found.folders(".probe")) and _took(found)
            found.remove(".probe")
            if ok:
                return found
        except OSError:
            continue
    return Cgroups(0, name)


def _took(found: Cgroups) -> bool:
    name = {1: "memory.limit_in_bytes", 2: "memory.max"}[found.version]
    return (found.folders(".probe")[0] / name).read_text().strip() == str(1 << 30)


def _delegate(folder: Path) -> None:
    """Version 2 hands controllers down one level at a time."""
    if not (ROOT / "cgroup.controllers").exists():
        raise OSError("no unified hierarchy")
    folder.mkdir(exist_ok=True)
    for level in (ROOT, folder):
        _write(level / "cgroup.subtree_control", " ".join(f"+{name}" for name in CONTROLLERS))


def _limit(file: Path, value: int | None) -> None:
    if value is not None and file.exists():
        _write(file, str(value))


def _write(file: Path, text: str) -> None:
    # Not `write_text`: the kernel wants one write, and refuses to truncate some of these.
    descriptor = os.open(file, os.O_WRONLY)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)
