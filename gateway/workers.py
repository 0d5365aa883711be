"""Worker processes as their parent sees them: ordered, spoken to, ended."""

import contextlib
import os
import secrets
import signal
import socket
import sys
import time
from collections.abc import Mapping

from gateway import handover, nursery

Listening = Mapping[str, list[socket.socket]]
"""Listening sockets by what is spoken there, "http" or "https"."""
UNBORN = -1


class Worker:
    """A process that serves: one that our nursery was asked for, or one that a parent before us
    has left behind. `process` is readable when it has ended."""

    def __init__(self, name: str, channel: socket.socket, source: "Nursery | None" = None) -> None:
        self.name = name
        self.channel = channel
        self.source = source
        self.pid = 0
        self.process = UNBORN
        self.began = time.monotonic()
        self.ready = False
        self._heard = b""

    def tell(self, line: str) -> None:
        """Say something; a worker that has ended or does not listen is told nothing."""
        with contextlib.suppress(OSError):
            self.channel.sendall(line.encode() + b"\n")

    def hear(self) -> list[str]:
        """What it has said since; ValueError when it will say nothing more."""
        try:
            data = self.channel.recv(4096)
        except (BlockingIOError, TimeoutError):
            return []
        except OSError:
            data = b""
        if not data:
            raise ValueError("the channel has ended")
        *lines, self._heard = (self._heard + data).split(b"\n")
        return [line.decode(errors="replace") for line in lines]

    def signal(self, number: int) -> None:
        """To the worker, or to the nursery that does not bear it."""
        source = self.source
        if self.process != UNBORN:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self.process, number)
        elif source is not None:
            source.kill()

    def close(self) -> None:
        """Give back what was held for it."""
        if self.process != UNBORN:
            os.close(self.process)
        self.channel.close()


class Nursery:
    """A process that has imported all that workers need, as the code was when it was started."""

    def __init__(self) -> None:
        self.control, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.control.setblocking(False)
        with its:
            its.set_inheritable(True)
            self.pid = os.posix_spawn(
                sys.executable,
                [sys.executable, "-m", "gateway.nursery", str(its.fileno())],
                os.environ,
                setsigmask=(),
            )
        self.process = os.pidfd_open(self.pid)
        """Readable when the process has ended."""

    def order(self, instance: str, slot: int, listening: Listening, hurried: bool) -> Worker:
        """Ask for a worker on these sockets. `hurried`: nobody accepts from them meanwhile."""
        name = f"{instance}.{slot}.{secrets.token_hex(4)}"
        ours, its = socket.socketpair()
        ours.setblocking(False)
        pairs = [(kind, one) for kind, sockets in listening.items() for one in sockets]
        kinds = [kind for kind, _ in pairs]
        words = {"slot": slot, "hurried": hurried, "kinds": kinds}
        with its, contextlib.suppress(OSError):  # it has just died: its end will be noticed
            nursery.order(self.control, name, words, [its, *(one for _, one in pairs)])
        return Worker(name, ours, self)

    def dismiss(self) -> None:
        """Ask for no more; it ends when its children have ended."""
        self.control.close()

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.process, signal.SIGKILL)

    def bury(self) -> None:
        self.control.close()
        os.waitpid(self.pid, 0)
        os.close(self.process)


def orphans(folder: str, instance: str) -> list[Worker]:
    """Workers of `instance` that live without a parent."""
    found: list[Worker] = []
    for name in handover.names(folder):
        channel = handover.connect(folder, name) if belongs(name, instance) else None
        if channel is None:
            continue
        worker = Worker(name, channel)
        worker.ready = True
        try:
            worker.pid = handover.peer_of(channel)
            worker.process = os.pidfd_open(worker.pid)
        except (PermissionError, ProcessLookupError):
            worker.close()
        else:
            found.append(worker)
    return found


def belongs(name: str, instance: str) -> bool:
    """Is this the name of a worker of `instance`?"""
    return name.rpartition(".")[0].rpartition(".")[0] == instance
