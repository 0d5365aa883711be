"""The parent of the gateway's workers: it holds the listening sockets and never serves.

Because the sockets are its own, connections that come while a worker is being replaced wait in
their queue for the next one. It keeps one worker on each slot, replaces them by fresh ones on
SIGHUP, each when its successor accepts, and ends them all on SIGTERM. Killed, it costs nothing:
the workers go on, and the next parent takes the sockets over from them before it replaces them.

It is small on purpose (the standard library, a poll loop): it lives as long as the platform does.
"""

import contextlib
import fcntl
import json
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Mapping

from gateway import handover, sockets, workers
from gateway.gone import Gone
from gateway.nursery import next_birth
from gateway.slots import Slot
from gateway.workers import UNBORN, Nursery, Worker

GRACE_SECONDS = 5.0
"""For a worker that was told to stop, beyond the time that requests under way have."""

LONGEST_POLL_SECONDS = 60.0


class Cannot(Exception):
    """Why the gateway cannot run here, as a sentence that says what to do."""


class Wishes:
    """The settings that the parent itself needs; the workers read all of them."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        def number(name: str, default: str) -> float:
            text = environment.get(f"MOORAGE_{name}") or default
            try:
                return float(text)
            except ValueError:
                raise Cannot(f"MOORAGE_{name} is '{text}', which is no number.") from None

        for name in ("HOME", "INSTANCE"):
            if not environment.get(f"MOORAGE_{name}"):
                raise Cannot(f"MOORAGE_{name} is not set.")
        self.folder = handover.gateway_folder(environment["MOORAGE_HOME"])
        self.instance = environment["MOORAGE_INSTANCE"]
        self.bind = environment.get("MOORAGE_BIND") or "0.0.0.0"
        self.ports = {"http": int(number("PORT", "8080")), "https": int(number("TLS_PORT", "0"))}
        self.stop_seconds = number("STOP_SECONDS", "10")
        count = int(number("GATEWAY_WORKERS", "1"))
        self.workers = count if count > 0 else len(os.sched_getaffinity(0))


class Parent:
    """A poll loop over signals, what workers say, and their ends."""

    def __init__(self, wishes: Wishes) -> None:
        self._wishes = wishes
        self._poll = select.poll()
        self._alarm, self._alarmed = socket.socketpair()
        self._gone = Gone(os.path.join(wishes.folder, f"{wishes.instance}.gone"))
        self._workers: list[Worker] = []
        self._orphans: list[Worker] = []
        self._slots: list[Slot] = []
        self._renewing: list[Slot] = []
        self._renew_again = False
        self._nursery: Nursery | None = None
        self._fresh_nursery: Nursery | None = None
        """Of the code as it is now, while workers of the one before are replaced."""
        self._nurseries: list[Nursery] = []
        """Those that run, the dismissed ones too."""
        self._stop_by: float | None = None
        """When workers are ended by force, once they have been told to stop."""

    def run(self) -> None:
        """Serve until SIGTERM or SIGINT, and until all workers have ended then."""
        self._hear_signals()
        self._nursery = self._new_nursery()
        self._take_over()
        while self._stop_by is None or self._workers or self._nurseries:
            self._advance(time.monotonic())
            for descriptor, _ in self._poll.poll(self._pause(time.monotonic())):
                self._notice(descriptor)

    # -- the sockets and who has them

    def _take_over(self) -> None:
        """Begin with the sockets of the workers that a parent before us has left."""
        wishes = self._wishes
        self._forget_dead_sockets()
        self._orphans = workers.orphans(wishes.folder, wishes.instance)
        found = [one for orphan in self._orphans for one in _sockets_of(orphan)]
        self._slots = [Slot(number) for number in range(wishes.workers)]
        for kind, port in wishes.ports.items():
            if port:
                self._deal(kind, self._listen(port, found))
        kept = {one for slot in self._slots for part in slot.listening.values() for one in part}
        for one in set(found) - kept:
            one.close()
        for orphan in self._orphans:
            self._watch(orphan)
        if self._orphans:
            log("info", "workers without a parent found", workers=[o.name for o in self._orphans])

    def _listen(self, port: int, found: list[socket.socket]) -> list[socket.socket]:
        wishes = self._wishes
        try:
            return sockets.enough(wishes.bind, port, wishes.workers, found)
        except OSError as error:
            where = f"port {port} of {wishes.bind}"
            raise Cannot(
                f"{where} cannot be listened on ({error.strerror}); another program may have it:"
                " choose another by MOORAGE_PORT, MOORAGE_TLS_PORT or MOORAGE_BIND."
            ) from error

    def _deal(self, kind: str, listening: list[socket.socket]) -> None:
        for number, one in enumerate(listening):
            self._slots[number % len(self._slots)].listening.setdefault(kind, []).append(one)

    def _forget_dead_sockets(self) -> None:
        """What a kill -9 of everything, or a power failure, has left lying there."""
        folder, instance = self._wishes.folder, self._wishes.instance
        alive = handover.living(folder)
        for name in handover.names(folder):
            if workers.belongs(name, instance) and name not in alive:
                self._gone.add(name)
                handover.forget(folder, name)

    # -- what is to be done

    def _advance(self, now: float) -> None:
        """Do what is due."""
        if self._stop_by is not None:
            if now > self._stop_by:
                self._signal_all(signal.SIGKILL)
                for nursery in self._nurseries:
                    nursery.kill()
            return
        for slot in self._slots:
            if slot.lacks_worker(now):
                self._start(slot)
            elif slot.start_is_overdue(now):
                log("error", "a worker did not get ready and is ended", worker=slot.fresh_name)
                slot.give_up()
        if self._fresh_nursery and not any(slot.fresh for slot in self._slots):
            self._renew(self._fresh_nursery)
        if self._orphans and all(slot.worker for slot in self._slots):
            for orphan in self._orphans:
                orphan.tell("retire")
            self._orphans = []

    def _pause(self, now: float) -> int:
        """Milliseconds until something is due by the clock alone."""
        if self._stop_by is not None:
            due = self._stop_by
        else:
            due = min(slot.due(now) for slot in self._slots)
        return 1 + round(1000 * max(0.0, min(due - now, LONGEST_POLL_SECONDS)))

    def _start(self, slot: Slot, source: Nursery | None = None) -> None:
        if self._nursery is None:
            self._nursery = self._new_nursery()
        hurried = slot.worker is None and not self._orphans
        instance, source = self._wishes.instance, source or self._nursery
        worker = source.order(instance, slot.number, slot.listening, hurried)
        for name in self._gone.names:
            worker.tell(f"gone {name}")
        slot.fresh = worker
        self._watch(worker)

    def _renew(self, source: Nursery) -> None:
        """Replace the next worker; when there is none left, the nursery of those before goes."""
        if self._renewing:
            self._start(self._renewing.pop(0), source)
            return
        if self._nursery is not None:
            self._dismiss(self._nursery)
        self._nursery = source
        self._end_renewing()

    def _begin_renewing(self) -> None:
        """Replace all workers by such as run the code that is there now."""
        self._renew_again = self._fresh_nursery is not None
        if not self._renew_again:
            self._fresh_nursery = self._new_nursery()
            self._renewing = list(self._slots)

    def _end_renewing(self) -> None:
        self._renewing, self._fresh_nursery = [], None
        if self._renew_again:
            self._begin_renewing()

    def _new_nursery(self) -> Nursery:
        made = Nursery()
        self._nurseries.append(made)
        self._poll.register(made.process, select.POLLIN)
        self._poll.register(made.control, select.POLLIN)
        return made

    def _dismiss(self, nursery: Nursery) -> None:
        if nursery.control.fileno() >= 0:
            self._poll.unregister(nursery.control)
            nursery.dismiss()

    def _watch(self, worker: Worker) -> None:
        self._workers.append(worker)
        if worker.process != UNBORN:
            self._poll.register(worker.process, select.POLLIN)
        self._poll.register(worker.channel, select.POLLIN)

    # -- what has happened

    def _notice(self, descriptor: int) -> None:
        if descriptor == self._alarmed.fileno():
            self._obey(self._alarmed.recv(64))
            return
        for nursery in self._nurseries:
            if descriptor == nursery.control.fileno():
                self._take_births(nursery)
                return
            if descriptor == nursery.process:
                self._bury_nursery(nursery)
                return
        for worker in self._workers:
            if descriptor == worker.process:
                self._bury(worker)
                return
            if descriptor == worker.channel.fileno():
                self._listen_to(worker)
                return

    def _listen_to(self, worker: Worker) -> None:
        try:
            lines = worker.hear()
        except ValueError:
            self._poll.unregister(worker.channel)
            return
        if "ready" in lines:
            log("info", "a worker is ready", worker=worker.name, pid=worker.pid)
            for slot in self._slots:
                slot.is_ready(worker)
        if "leaving" in lines and self._stop_by is None:
            for slot in self._slots:
                slot.leaves(worker)

    def _take_births(self, nursery: Nursery) -> None:
        """What the nursery bears is ours to look after."""
        try:
            while birth := next_birth(nursery.control):
                name, pid, process = birth
                for worker in self._workers:
                    if worker.name == name:
                        worker.pid, worker.process = pid, process
                        self._poll.register(process, select.POLLIN)
        except OSError:
            self._dismiss(nursery)

    def _bury_nursery(self, nursery: Nursery) -> None:
        """A nursery has ended: what it was asked for and did not bear never will be."""
        if nursery.control.fileno() >= 0:
            self._take_births(nursery)
        self._dismiss(nursery)
        self._nurseries.remove(nursery)
        self._poll.unregister(nursery.process)
        nursery.bury()
        if nursery is self._nursery:
            self._nursery = None
        for worker in [one for one in self._workers if one.source is nursery]:
            if worker.process == UNBORN:
                self._bury(worker)

    def _bury(self, worker: Worker) -> None:
        """A worker has ended: all others may say so, and its slot needs another."""
        self._workers.remove(worker)
        for descriptor in (worker.process, worker.channel):
            with contextlib.suppress(KeyError, ValueError):
                self._poll.unregister(descriptor)
        worker.close()
        handover.forget(self._wishes.folder, worker.name)
        self._gone.add(worker.name)
        for other in self._workers:
            other.tell(f"gone {worker.name}")
        self._orphans = [orphan for orphan in self._orphans if orphan is not worker]
        missed = [slot for slot in self._slots if slot.has_ended(worker, time.monotonic())]
        expected = not missed or self._stop_by is not None
        log("info" if expected else "error", "a worker ended", worker=worker.name, pid=worker.pid)
        if self._fresh_nursery and any(slot.worker for slot in missed):
            log("error", "a fresh worker did not start; those before it go on")
            self._dismiss(self._fresh_nursery)
            self._end_renewing()

    # -- signals

    def _hear_signals(self) -> None:
        for sock in (self._alarm, self._alarmed):
            sock.setblocking(False)
        signal.set_wakeup_fd(self._alarm.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda *_: None)
        self._poll.register(self._alarmed, select.POLLIN)

    def _obey(self, numbers: bytes) -> None:
        if signal.SIGTERM in numbers or signal.SIGINT in numbers:
            self._stop()
        elif signal.SIGHUP in numbers and self._stop_by is None:
            log("info", "fresh workers are wanted")
            self._begin_renewing()

    def _stop(self) -> None:
        """Accept nothing more and let the workers finish."""
        if self._stop_by is not None:
            return
        self._stop_by = time.monotonic() + self._wishes.stop_seconds + GRACE_SECONDS
        for slot in self._slots:
            slot.close()
        self._signal_all(signal.SIGTERM)
        for nursery in list(self._nurseries):
            self._dismiss(nursery)

    def _signal_all(self, number: int) -> None:
        for worker in self._workers:
            worker.signal(number)


def _sockets_of(orphan: Worker) -> list[socket.socket]:
    try:
        return handover.take(orphan.channel)[1]
    except (OSError, ValueError, KeyError) as error:
        log("error", "a worker keeps its sockets", worker=orphan.name, cause=repr(error))
        return []
    finally:
        orphan.channel.setblocking(False)


def hold(wishes: Wishes) -> int:
    """Be the only parent of this instance; the lock ends with the process. Raises `Cannot`."""
    os.makedirs(wishes.folder, 0o700, exist_ok=True)
    path = os.path.join(wishes.folder, f"{wishes.instance}.lock")
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise Cannot(f"{wishes.instance} runs already on this data folder.") from None
    return descriptor


def log(level: str, message: str, **more: object) -> None:
    """One JSON line on standard error, as the workers write them."""
    now = time.time()
    moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now))
    line = {
        "time": f"{moment}.{int(now % 1 * 1000):03d}+00:00",
        "level": level,
        "process": "gateway",
        "logger": __name__,
        "message": message,
    }
    print(json.dumps(line | more), file=sys.stderr, flush=True)


def main() -> int:
    try:
        wishes = Wishes(os.environ)
        lock = hold(wishes)
        Parent(wishes).run()
    except (Cannot, OSError) as error:
        print(f"gateway: {error}", file=sys.stderr)
        return 2
    os.close(lock)
    return 0
