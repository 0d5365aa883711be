"""A whole embedded platform of the test's own, driven as its users drive it."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import httpx
import psutil

from deploy.embedded.children import running_pid
from deploy.embedded.credentials import free_ports
from deploy.embedded.layout import CHECKOUT, Layout
from deploy.embedded.supervisor import holder

CLEAN_GIT = {
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_TERMINAL_PROMPT": "0",
}
WHO = ("-c", "user.name=Ada", "-c", "user.email=ada@example.com")


class Platform:
    """Started by `up`, in a data folder of its own, on a free port."""

    def __init__(self, settings: Mapping[str, str] | None = None) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="mrg-"))
        self.folder.chmod(0o755)
        self.layout = Layout(self.folder / "home")
        self.port = free_ports(1)[0]
        self.url = f"http://127.0.0.1:{self.port}"
        self.environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith("MOORAGE_")},
            "MOORAGE_HOME": str(self.layout.home),
            "MOORAGE_PORT": str(self.port),
            "MOORAGE_SAMPLE": "no",
            **(settings or {}),
        }

    def up(self) -> str:
        """`make up` without its installation; what it printed."""
        done = self._deploy("up")
        assert done.returncode == 0, done.stdout + done.stderr + self.logs()
        return done.stdout

    def try_up(self) -> subprocess.CompletedProcess[str]:
        """The same where it is expected to fail."""
        return self._deploy("up")

    def down(self) -> str:
        done = self._deploy("down")
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def remove(self) -> None:
        """Stop it and leave nothing behind."""
        self._deploy("down")
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def token(self) -> str:
        return self.layout.admin_token.read_text().strip()

    def client(self, token: str | None = None, **options: object) -> httpx.Client:
        """An HTTP client with an API token, the administrator's unless another is given."""
        headers = {"Authorization": f"Bearer {token or self.token}"}
        return httpx.Client(base_url=self.url, headers=headers, timeout=60, **options)  # type: ignore[arg-type]

    def git_url(self, app: str, token: str | None = None) -> str:
        return f"http://ada:{token or self.token}@127.0.0.1:{self.port}/-/git/{app}.git"

    def push(
        self,
        repository: Path,
        app: str,
        branch: str = "main",
        *options: str,
        token: str | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """`git push`; standard output and error in `stdout`."""
        return git(repository, "push", *options, self.git_url(app, token), branch)

    def start_push(self, repository: Path, app: str) -> subprocess.Popen[str]:
        """A push that goes on while the test does something else."""
        return subprocess.Popen(
            ["git", "push", self.git_url(app), "main"],
            cwd=repository,
            env={**os.environ, **CLEAN_GIT},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def moorage(self, *arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        """The CLI, as the administrator."""
        return self._cli(arguments, cwd, {"MOORAGE_URL": self.url, "MOORAGE_TOKEN": self.token})

    def moorage_offline(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """The CLI where no platform runs yet."""
        return self._cli(arguments, None, {})

    def _cli(
        self, arguments: tuple[str, ...], cwd: Path | None, login: Mapping[str, str]
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(Path(sys.executable).with_name("moorage")), *arguments],
            cwd=cwd or self.folder,
            env={**self.environment, **login},
            capture_output=True,
            text=True,
            timeout=180,
        )

    def pid(self, process: str) -> int:
        """The pid of a child ("builder-1", "nats") or of the "supervisor"."""
        pid = (
            holder(self.layout)
            if process == "supervisor"
            else running_pid(self.layout.run / f"{process}.pid")
        )
        assert pid is not None, f"{process} does not run"
        return pid

    def kill(self, process: str) -> None:
        os.kill(self.pid(process), signal.SIGKILL)

    def suspend(self, process: str) -> None:
        """Make a process absent, without its supervisor starting another."""
        self._signal(process, signal.SIGSTOP)

    def resume(self, process: str) -> None:
        self._signal(process, signal.SIGCONT)

    def _signal(self, process: str, number: int) -> None:
        """PostgreSQL is its children too; those of others (apps, builds) are no part of them."""
        parent = psutil.Process(self.pid(process))
        children = parent.children(recursive=True) if process == "postgres" else []
        for one in (parent, *children):
            with contextlib.suppress(psutil.NoSuchProcess):
                one.send_signal(number)

    def logs(self) -> str:
        """The end of every log, for the report of a failed test."""
        parts = []
        for path in sorted(self.layout.logs.glob("*.log")):
            lines = path.read_text(errors="replace").splitlines()[-12:]
            parts.append(f"--- {path.name}\n" + "\n".join(line[:400] for line in lines))
        return "\n".join(parts)

    def _deploy(self, verb: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "deploy.embedded", verb],
            cwd=CHECKOUT,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=300,
        )


def git(repository: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """git without anybody's settings; standard error joins standard output."""
    return subprocess.run(
        ["git", *arguments],
        cwd=repository,
        env={**os.environ, **CLEAN_GIT},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
    )


def repository(folder: Path, files: Mapping[str, str]) -> Path:
    """A git repository with one commit of `files` on `main`."""
    folder.mkdir(parents=True, exist_ok=True)
    git(folder, "init", "--quiet", "--initial-branch=main")
    commit(folder, files)
    return folder


def commit(folder: Path, files: Mapping[str, str | None], message: str = "A change") -> str:
    """Write `files` (None removes one), commit, and return the commit's id."""
    for name, text in files.items():
        path = folder / name
        if text is None:
            path.unlink()
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    git(folder, "add", "--all")
    done = git(folder, *WHO, "commit", "--quiet", "--allow-empty", "--message", message)
    assert done.returncode == 0, done.stdout
    return git(folder, "rev-parse", "HEAD").stdout.strip()


def until(condition: Callable[[], object], seconds: float = 60, every: float = 0.05) -> object:
    """Poll until `condition` gives something true and return that."""
    deadline = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        assert time.monotonic() < deadline, "the condition was not met in time"
        time.sleep(every)


def dump(value: object) -> str:
    return json.dumps(value, indent=2, sort_keys=True)
