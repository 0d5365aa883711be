"""`python -m gateway.nursery`: where workers come from.

It has imported all that a worker needs and forks one whenever the parent asks, which takes
milliseconds where a new interpreter takes a second, and lets the workers share that memory. It
serves nothing, holds no lock and has no thread, so a fork is whole.

Over its end of a socket pair (SOCK_SEQPACKET, unix(7)) it gets the words of a worker's post, as
JSON, with its sockets beside them, and answers with the name and the pid, and the pidfd beside
them. When the parent closes its end the nursery only waits for its children.
"""

import contextlib
import gc
import json
import os
import signal
import socket
import sys

from gateway.handover import MOST_SOCKETS

LONGEST_ORDER = 65536


def order(
    control: socket.socket, name: str, words: dict[str, object], handed: list[socket.socket]
) -> None:
    """Ask the nursery at the other end for a worker. `words` say what the sockets are."""
    line = json.dumps({"name": name, **words}).encode()
    socket.send_fds(control, [line], [one.fileno() for one in handed])


def next_birth(control: socket.socket) -> tuple[str, int, int] | None:
    """Name, pid and pidfd of a worker that was asked for; None when there is none yet (`control`
    does not block). Raises `OSError` when the nursery has ended."""
    try:
        line, descriptors, _, _ = socket.recv_fds(control, LONGEST_ORDER, 1)
    except BlockingIOError:
        return None
    if not line or not descriptors:
        raise ConnectionResetError("the nursery has ended")
    said = json.loads(line)
    return said["name"], said["pid"], descriptors[0]


def serve(control: socket.socket) -> tuple[dict[str, object], list[socket.socket]] | None:
    """Fork for every order: returns in each child with its own. None when the parent is gone."""
    while True:
        line, descriptors, _, _ = socket.recv_fds(control, LONGEST_ORDER, MOST_SOCKETS)
        if not line:
            return None
        words = json.loads(line)
        sockets = [socket.socket(fileno=descriptor) for descriptor in descriptors]
        # Not reaped before it has a pidfd: until then its pid is surely its own.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
        pid = os.fork()
        if pid == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        else:
            _announce(control, str(words["name"]), pid)
            for one in sockets:
                one.close()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
        if pid == 0:
            control.close()
            return words, sockets


def _announce(control: socket.socket, name: str, pid: int) -> None:
    process = os.pidfd_open(pid)
    with contextlib.suppress(OSError):  # the parent is gone; the worker will see it too
        line = json.dumps({"name": name, "pid": pid}).encode()
        socket.send_fds(control, [line], [process])
    os.close(process)


def _reap(*_: object) -> None:
    """Say how each child ended that has: nobody else can know."""
    with contextlib.suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            if code := os.waitstatus_to_exitcode(status):
                line = {"level": "error", "process": "gateway", "logger": __name__}
                line |= {"message": "a worker failed", "pid": pid, "status": code}
                print(json.dumps(line), file=sys.stderr, flush=True)


def _wait_for_children() -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    with contextlib.suppress(ChildProcessError):
        while True:
            os.wait()


def main() -> int:
    control = socket.socket(fileno=int(sys.argv[1]))
    control.set_inheritable(False)
    from gateway import worker

    signal.signal(signal.SIGCHLD, _reap)
    # Whoever interrupts a terminal means the parent, which ends us when it is done.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    gc.collect()
    gc.freeze()
    born = serve(control)
    if born is None:
        _wait_for_children()
        return 0
    signal.signal(signal.SIGINT, signal.default_int_handler)
    return worker.run(*born)


if __name__ == "__main__":
    sys.exit(main())
