"""Which core measures what, and how much CPU time a process took."""

import os
import resource
import time
from collections.abc import Sequence
from contextlib import suppress

import psutil

ALL = sorted(os.sched_getaffinity(0))
PROXY = ALL[-1:]
LOAD = ALL[:-1] or ALL


def descendants(pid: int) -> list[psutil.Process]:
    """A process and all that it started, as far as they live."""
    process = psutil.Process(pid)
    return [process, *process.children(recursive=True)]


def pin(pid: int, on: Sequence[int]) -> None:
    """Run a process, all its threads included, on these cores from now on."""
    for thread in psutil.Process(pid).threads():
        with suppress(ProcessLookupError):
            os.sched_setaffinity(thread.id, on)


def cpu_ns(pid: int) -> int:
    """User and system time of a process, all its threads included, ended ones too, in ns.

    The clock id is the one that clock_getcpuclockid(3) gives: the process id's complement and,
    in the last three bits, "of a process, as the scheduler counts".
    """
    return time.clock_gettime_ns((~pid << 3) | 2)


def tree_cpu_ns(pid: int) -> int:
    return sum(cpu_ns(process.pid) for process in descendants(pid))


def tree_pss(pid: int) -> int:
    """Proportional set size of a process and all that it started, in bytes."""
    return sum(process.memory_full_info().pss for process in descendants(pid))


def raise_open_files(wanted: int = 65_536) -> int:
    """Allow this process and its children more open files; how many they may have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, wanted))
            return wanted
        except (ValueError, OSError):
            wanted = hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    return max(soft, wanted)
