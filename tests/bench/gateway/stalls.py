"""Moments in which the machine itself stood still, as shared and virtual machines do.

`python -m tests.bench.gateway.stalls CORE` sleeps for a millisecond again and again, with a
priority above everything else on that core, and prints a line "FROM UNTIL" (seconds of the
monotonic clock) whenever it woke late. No ordinary process can delay it, whatever it does: what
delays it is not the proxy's doing.
"""

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import NamedTuple

from deploy.embedded.layout import CHECKOUT

STEP_SECONDS = 0.001
LATE_SECONDS = 0.001
AFTERMATH_SECONDS = 0.2
"""What has piled up in a stall is worked off after it."""


class Stall(NamedTuple):
    """Times of the monotonic clock."""

    begin: float
    end: float


class Watch:
    """Watches cores while a block lasts; `stalls` are then all that were seen.

    `works` is False where this user may not raise a priority: nothing is seen then.
    """

    def __init__(self, cores: Sequence[int]) -> None:
        self._cores = cores
        self._watchers: list[subprocess.Popen[str]] = []
        self.stalls: list[Stall] = []
        self.works = False

    def __enter__(self) -> "Watch":
        for core in self._cores:
            command = [sys.executable, "-m", "tests.bench.gateway.stalls", str(core)]
            watcher = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=CHECKOUT)
            self._watchers.append(watcher)
        said = [watcher.stdout.readline() for watcher in self._watchers if watcher.stdout]
        self.works = said == ["watching\n"] * len(self._cores)
        return self

    def __exit__(self, *_: object) -> None:
        for watcher in self._watchers:
            watcher.terminate()
            said, _ = watcher.communicate()
            lines = [line.split() for line in said.splitlines()]
            self.stalls += [Stall(float(line[0]), float(line[1])) for line in lines if line]


def watch(core: int) -> None:
    os.sched_setaffinity(0, {core})
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(50))
    except PermissionError:
        print("may not", flush=True)
        return
    print("watching", flush=True)
    while True:
        began = time.perf_counter()
        time.sleep(STEP_SECONDS)
        ended = time.perf_counter()
        if ended - began > STEP_SECONDS + LATE_SECONDS:
            print(began, ended, flush=True)


if __name__ == "__main__":
    watch(int(sys.argv[1]))
