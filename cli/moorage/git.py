"""The real git program, run in one folder."""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from moorage.errors import Trouble


class Git:
    """git in `folder`; `environment` is added to that of this process."""

    def __init__(self, folder: Path, environment: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        self.environment = dict(os.environ) | dict(environment or {})

    def ask(self, *arguments: str) -> str | None:
        """What git prints, without the last newline; nothing when it fails."""
        done = self._run(arguments, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        return done.stdout.rstrip("\n") if done.returncode == 0 else None

    def do(self, *arguments: str) -> str:
        """As `ask`, but a failure is a `Trouble` with git's own last line."""
        done = self._run(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        if done.returncode != 0:
            lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
            said = next(
                (line for line in lines if line.startswith(("fatal:", "error:"))), lines[-1]
            )
            raise Trouble(f"git {arguments[0]} failed: {said}")
        return done.stdout.rstrip("\n")

    def show(self, *arguments: str) -> tuple[int, str]:
        """Run git with its stderr on the terminal; its exit status and its stdout."""
        done = self._run(arguments, stdout=subprocess.PIPE, stderr=None)
        return done.returncode, done.stdout

    def top(self) -> Path | None:
        """The folder at the top of the repository that `folder` is in."""
        found = self.ask("rev-parse", "--show-toplevel")
        return Path(found) if found else None

    def remote_urls(self) -> list[str]:
        """The fetch and push addresses of every remote."""
        listed = self.ask("config", "--get-regexp", r"^remote\..*\.(url|pushurl)$")
        return [line.split(" ", 1)[1] for line in (listed or "").splitlines() if " " in line]

    def _run(
        self, arguments: tuple[str, ...], *, stdout: int, stderr: int | None
    ) -> subprocess.CompletedProcess[str]:
        try:
            return subprocess.run(
                ["git", *arguments],
                cwd=self.folder,
                env=self.environment,
                check=False,
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                text=True,
                errors="replace",
            )
        except FileNotFoundError as error:
            raise Trouble("git is not installed: install it and try again") from error
