"""Worker processes as their parent sees them: started, spoken to, ended."""

import contextlib
import os
import secrets
import signal
import socket
import sys
import time
from collections.abc import Iterable, Iterator, Mapping

from gateway import handover

Listening = Mapping[str, list[socket.socket]]
"""Listening sockets by what is spoken there, "http" or "https"."""


class Worker:
    """A process that serves: a child of ours, or one that a parent before us has left behind."""

    def __init__(self, name: str, pid: int, channel: socket.socket, ours: bool) -> None:
        self.name = name
        self.pid = pid
        self.channel = channel
        self.ours = ours
        self.process = os.pidfd_open(pid)
        """Readable when the process has ended."""
        self.began = time.monotonic()
        self.ready = not ours
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
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.process, number)

    def bury(self) -> int:
        """Give back what its process held; its exit status, 0 of one that is not our child."""
        status = 0
        if self.ours:
            _, status = os.waitpid(self.pid, 0)
        os.close(self.process)
        self.channel.close()
        return os.waitstatus_to_exitcode(status)


def start(instance: str, slot: int, listening: Listening) -> Worker:
    """Start a worker on these sockets, as a new process with the code as it is now.

    It finds the sockets and its end of the channel by their descriptors, named in its arguments.
    """
    name = f"{instance}.{slot}.{secrets.token_hex(4)}"
    ours, its = socket.socketpair()
    ours.setblocking(False)
    arguments = [f"name={name}", f"slot={slot}", f"control={its.fileno()}"]
    for kind, sockets in listening.items():
        arguments += [f"{kind}={one.fileno()}" for one in sockets]
    handed = [its, *(one for sockets in listening.values() for one in sockets)]
    with its, _inherited(handed):
        pid = os.posix_spawn(
            sys.executable,
            [sys.executable, "-m", "gateway.worker", *arguments],
            os.environ,
            setsigmask=(),
        )
    return Worker(name, pid, ours, ours=True)


@contextlib.contextmanager
def _inherited(handed: Iterable[socket.socket]) -> Iterator[None]:
    """These and no other descriptors of ours go on to a process started meanwhile."""
    sockets = list(handed)
    for one in sockets:
        one.set_inheritable(True)
    try:
        yield
    finally:
        for one in sockets:
            one.set_inheritable(False)


def orphans(folder: str, instance: str) -> list[Worker]:
    """Workers of `instance` that live without a parent."""
    found: list[Worker] = []
    for name in handover.names(folder):
        if not belongs(name, instance):
            continue
        channel = handover.connect(folder, name)
        if channel is None:
            continue
        try:
            found.append(Worker(name, handover.peer_of(channel), channel, ours=False))
        except (PermissionError, ProcessLookupError):
            channel.close()
    return found


def belongs(name: str, instance: str) -> bool:
    """Is this the name of a worker of `instance`?"""
    return name.rpartition(".")[0].rpartition(".")[0] == instance
