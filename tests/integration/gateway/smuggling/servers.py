"""The servers that apps run on, each as a process of its own."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from deploy.embedded.layout import CHECKOUT
from tests.integration.gateway.fleet import free_port

_APP = "tests.integration.gateway.smuggling.app"
COMMANDS: dict[str, Callable[[int], list[str]]] = {
    "uvicorn": lambda port: [
        "uvicorn", f"{_APP}:asgi", "--port", str(port), "--log-level", "critical",
    ],
    "gunicorn": lambda port: [
        "gunicorn", f"{_APP}:wsgi", "--bind", f"127.0.0.1:{port}", "--threads", "16",
        "--log-level", "critical", "--no-control-socket",
    ],
    "hypercorn": lambda port: ["hypercorn", f"{_APP}:asgi", "--bind", f"127.0.0.1:{port}"],
    "waitress": lambda port: [
        "waitress", f"--listen=127.0.0.1:{port}", "--threads=16", f"{_APP}:wsgi",
    ],
    "tornado": lambda port: [_APP, str(port)],
}  # fmt: skip


class Server:
    """One that runs, and what its app was asked."""

    def __init__(self, port: int, record: Path) -> None:
        self.address = f"127.0.0.1:{port}"
        self._record = record

    def asked(self) -> list[tuple[str, str, int]]:
        """(method, target, bytes of the body), in the order in which they were handled."""
        text = self._record.read_text() if self._record.exists() else ""
        return [tuple(json.loads(line)) for line in text.splitlines()]


@contextmanager
def running(name: str, folder: Path) -> Iterator[Server]:
    port, record = free_port(), folder / f"{name}.jsonl"
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT), "MOORAGE_RECORD": str(record)}
    with (folder / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", *COMMANDS[name](port)],
            env=environment,
            stdout=log,
            stderr=log,
            cwd=folder,
        )
    try:
        _wait(process, port, folder / f"{name}.log")
        yield Server(port, record)
    finally:
        process.terminate()
        process.wait(20)


def _wait(process: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
    end = time.monotonic() + 30
    while True:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < end, f"it does not listen: {log.read_text()}"
        time.sleep(0.02)
