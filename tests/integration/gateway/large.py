"""An app with a large answer at `/a/large` and a small one elsewhere, as a process of its own.

`python -m tests.integration.gateway.large DESCRIPTOR SIZE` serves the listening socket that it has
inherited. The loop is asyncio's own: it takes all connections that wait, where uvloop takes one in
each of its turns, and the app must not be what others wait for.
"""

import asyncio
import contextlib
import socket
import subprocess
import sys
from collections.abc import Iterator
from functools import partial

from deploy.embedded.layout import CHECKOUT

BACKLOG = 4096
_PIECE = b"ok" * 32768


@contextlib.contextmanager
def running(port: int, size: int) -> Iterator[str]:
    """Its address."""
    with socket.create_server(("127.0.0.1", port), backlog=BACKLOG) as listening:
        # Passed on to its connections: so little is in the kernel's hands.
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
        number = listening.fileno()
        command = [sys.executable, "-m", __name__, str(number), str(size)]
        process = subprocess.Popen(command, pass_fds=[number], cwd=CHECKOUT)
    try:
        yield f"127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


async def _serve(listening: socket.socket, size: int) -> None:
    answer = partial(_answer, size=size)
    server = await asyncio.start_server(answer, sock=listening, backlog=BACKLOG)
    await server.serve_forever()


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, size: int) -> None:
    with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            length = size if b"/a/large" in head else 2
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % length)
            for start in range(0, length, len(_PIECE)):
                writer.write(_PIECE[: length - start])
                await writer.drain()
    writer.close()


if __name__ == "__main__":
    asyncio.run(_serve(socket.socket(fileno=int(sys.argv[1])), int(sys.argv[2])))
