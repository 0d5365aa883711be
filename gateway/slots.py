"""A place for one worker, and what happens to it. No clock and no process of its own."""

import math
import signal
import socket

from gateway.workers import Worker

READY_SECONDS = 30.0
"""A worker that is not ready after so long never will be."""
STEADY_SECONDS = 2.0
"""A worker that has lived so long did not die of starting."""
FIRST_PAUSE_SECONDS = 0.25
LONGEST_PAUSE_SECONDS = 5.0


class Slot:
    """`worker` accepts from the slot's sockets; `fresh` is on its way to do so."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.listening: dict[str, list[socket.socket]] = {}
        self.worker: Worker | None = None
        self.fresh: Worker | None = None
        self._failures = 0
        self._start_at = -math.inf

    @property
    def fresh_name(self) -> str:
        return self.fresh.name if self.fresh else ""

    def lacks_worker(self, now: float) -> bool:
        """Is it time to start one, because there is none?"""
        return self.worker is None and self.fresh is None and now >= self._start_at

    def start_is_overdue(self, now: float) -> bool:
        return self.fresh is not None and now > self.fresh.began + READY_SECONDS

    def give_up(self) -> None:
        """End a worker that does not get ready."""
        if self.fresh is not None:
            self.fresh.signal(signal.SIGKILL)
            self.fresh.began = math.inf

    def due(self, now: float) -> float:
        """When the clock alone makes something necessary here."""
        if self.fresh is not None:
            return self.fresh.began + READY_SECONDS
        return math.inf if self.worker else max(now, self._start_at)

    def is_ready(self, worker: Worker) -> None:
        """`worker` accepts: if it is this slot's, the one before it need not any more."""
        if worker is not self.fresh:
            return
        worker.ready = True
        before, self.worker, self.fresh = self.worker, worker, None
        if before is not None:
            before.tell("retire")

    def leaves(self, worker: Worker) -> None:
        """`worker` accepts no more and has not been told so: something in it has failed."""
        if worker is self.worker:
            self.worker = None

    def has_ended(self, worker: Worker, now: float) -> bool:
        """True if `worker` was this slot's. The next is started at once, unless one after the
        other dies of starting."""
        if worker not in (self.worker, self.fresh):
            return False
        if worker is self.worker:
            self.worker = None
        else:
            self.fresh = None
        lived = worker.ready and now - worker.began > STEADY_SECONDS
        self._failures = 0 if lived else self._failures + 1
        pause = FIRST_PAUSE_SECONDS * 2 ** (self._failures - 2) if self._failures > 1 else 0.0
        self._start_at = now + min(pause, LONGEST_PAUSE_SECONDS)
        return True

    def close(self) -> None:
        for sockets in self.listening.values():
            for one in sockets:
                one.close()
