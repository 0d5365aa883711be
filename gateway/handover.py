"""How gateway processes of one machine find each other: a unix socket per worker, one line a wish.

Each worker answers at `$MOORAGE_HOME/gateway/NAME.sock` until it ends, so a socket that refuses
belongs to a process that is gone. Over it goes a protocol of lines (LF, UTF-8):

    sockets        answered by a JSON object `{"name", "ready", "sockets"}`, with as many
                   descriptors of listening sockets beside it as it says (SCM_RIGHTS, unix(7))
    metrics        answered by a JSON object of counters
    gone NAME      a worker of that name has ended; not answered
    retire         finish what is under way, take nothing new, and end; not answered

The same lines reach a worker from its own parent over a pair of sockets that it inherits; there it
says `ready` when it accepts connections and `leaving` when it does so no more.

Only the standard library is imported here: the parent does without everything else.
"""

import contextlib
import json
import os
import socket
import struct
from collections.abc import Iterator

LONGEST_ANSWER = 16 * 1024 * 1024
MOST_SOCKETS = 64
ANSWER_SECONDS = 2.0
_CREDENTIALS = struct.Struct("3i")  # struct ucred in unix(7): pid, uid, gid


def gateway_folder(home: str | os.PathLike[str]) -> str:
    """Where the gateway keeps what it knows, and its sockets."""
    return os.path.join(home, "gateway")


def names(folder: str) -> list[str]:
    """Names of the workers that have, or had, a socket in `folder`."""
    try:
        found = [entry.name for entry in os.scandir(folder)]
    except FileNotFoundError:
        return []
    return sorted(name.removesuffix(".sock") for name in found if name.endswith(".sock"))


@contextlib.contextmanager
def short_path(folder: str, name: str) -> Iterator[str]:
    """A path to a worker's socket that is short, however long the folder's own is: the address of
    a unix socket has no more than 107 bytes."""
    descriptor = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{descriptor}/{name}.sock"
    finally:
        os.close(descriptor)


def listen(folder: str, name: str) -> socket.socket:
    """The socket at which the worker `name` answers, for this account alone."""
    os.makedirs(folder, 0o700, exist_ok=True)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    # Before it has a name: there is no moment at which others could connect.
    os.fchmod(sock.fileno(), 0o600)
    with short_path(folder, name) as path:
        sock.bind(path)
    sock.listen(64)
    return sock


def connect(folder: str, name: str) -> socket.socket | None:
    """A connection to the worker `name`; None if it is gone."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.settimeout(ANSWER_SECONDS)
    try:
        with short_path(folder, name) as path:
            sock.connect(path)
    except (ConnectionRefusedError, FileNotFoundError):
        sock.close()
        return None
    except OSError:
        sock.close()
        raise
    return sock


def forget(folder: str, name: str) -> None:
    """Remove the socket of a worker that is gone."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(os.path.join(folder, f"{name}.sock"))


def peer_of(sock: socket.socket) -> int:
    """The pid of the process at the other end of a unix socket. Raises `PermissionError` when it
    runs under another account."""
    raw = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid, user, _ = _CREDENTIALS.unpack(raw)
    if user not in (0, os.getuid()):
        raise PermissionError(f"the process {pid} is another account's")
    return pid


def living(folder: str) -> dict[str, int]:
    """Names and pids of the workers that answer in `folder`."""
    found: dict[str, int] = {}
    for name in names(folder):
        sock = connect(folder, name)
        if sock is not None:
            with sock:
                found[name] = peer_of(sock)
    return found


def give(sock: socket.socket, name: str, ready: bool, sockets: list[socket.socket]) -> None:
    """Answer `sockets`."""
    head = {"name": name, "ready": ready, "sockets": len(sockets)}
    line = json.dumps(head).encode() + b"\n"
    if sockets:
        socket.send_fds(sock, [line], [one.fileno() for one in sockets])
    else:
        sock.sendall(line)


def accepting(folder: str) -> set[str]:
    """Names of the workers that are ready for connections at the moment."""
    found: set[str] = set()
    for name in names(folder):
        with contextlib.suppress(OSError, ValueError, KeyError):
            asking = connect(folder, name)
            if asking is not None:
                with asking:
                    ready, sockets = take(asking)
                for one in sockets:
                    one.close()
                if ready and sockets:
                    found.add(name)
    return found


def take(sock: socket.socket) -> tuple[bool, list[socket.socket]]:
    """Ask the worker at the other end whether it is ready, and for its listening sockets.

    Raises `OSError` (`TimeoutError` too), `ValueError` or `KeyError` when it does not give them.
    """
    sock.sendall(b"sockets\n")
    data, descriptors, _, _ = socket.recv_fds(sock, 65536, MOST_SOCKETS)
    taken = [socket.socket(fileno=descriptor) for descriptor in descriptors]
    try:
        while not data.endswith(b"\n"):
            more = sock.recv(65536)
            if not more:
                raise ConnectionResetError("the worker ended while it was asked")
            data += more
        head = json.loads(data)
        if head["sockets"] != len(taken):
            raise ValueError("sockets were lost on the way")
        return bool(head["ready"]), taken
    except (OSError, ValueError, KeyError):
        for one in taken:
            one.close()
        raise
