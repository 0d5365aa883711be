"""Runs the real command in a process of its own, against a server on loopback."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.integration.cli.stand import TOKEN, Server, Stand

CLI = Path(__file__).resolve().parents[3] / "cli"
Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    home = tmp_path / "server"
    home.mkdir()
    served = Server(Stand(home))
    thread = threading.Thread(target=served.run)
    thread.start()
    deadline = time.monotonic() + 10
    while not served.started and time.monotonic() < deadline:
        threading.Event().wait(0.01)
    yield served
    served.should_exit = True
    thread.join()


@pytest.fixture
def stand(server: Server) -> Stand:
    return server.stand


@pytest.fixture
def environment(server: Server, tmp_path: Path) -> dict[str, str]:
    """A person's environment with nothing of the machine's own settings, logged in by variables."""
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(CLI),
        "HOME": str(tmp_path),
        "XDG_CONFIG_HOME": str(tmp_path / "config"),
        "GIT_CONFIG_GLOBAL": str(tmp_path / "gitconfig"),
        "GIT_CONFIG_NOSYSTEM": "1",
        "MOORAGE_URL": server.url,
        "MOORAGE_TOKEN": TOKEN,
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the person stands."""
    made = tmp_path / "My Sales"
    made.mkdir()
    return made


@pytest.fixture
def moorage(environment: dict[str, str], folder: Path) -> Run:
    def run(*arguments: str, typed: str = "", **changes: str) -> "subprocess.CompletedProcess[str]":
        env = {name: value for name, value in (environment | changes).items() if value}
        return subprocess.run(
            [sys.executable, "-P", "-m", "moorage", *arguments],
            cwd=folder,
            env=env,
            input=typed,
            capture_output=True,
            text=True,
            timeout=60,
        )

    return run
