"""What the tests of git_ingest stand on: a real git client, and the test in the other roles.

The service runs as its own process. The test signs identities as the gateway does, creates apps as
the portal does, and answers pushes as builder and scheduler do.
"""

import asyncio
import contextlib
import os
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from shared.bus import Bus
from shared.bus.consumer import Consumer
from shared.database import Database
from shared.errors import Conflict
from shared.events import Event, new_event
from shared.events.catalogue import (
    AccessChanged,
    AppCreated,
    AppDeleted,
    BuildFailed,
    DeployFailed,
    DeploySucceeded,
    Grant,
)
from shared.identity import HEADER, Caller, Signer, identity_claims

Answer = Callable[["Stage", Event], Awaitable[None]]


@dataclass
class Result:
    """How a git command ended, with all it printed."""

    status: int
    text: str


@dataclass
class Stage:
    """The other services, played by the test."""

    folder: Path
    port: int
    signer: Signer
    buses: dict[str, Bus]
    database: Database
    home: Path
    keeper: Any = None
    answer: Answer | None = None
    pushed: list[Event] = field(default_factory=list)
    cancelled: list[Event] = field(default_factory=list)
    created: list[dict[str, Any]] = field(default_factory=list)

    # --- what the test plays ---

    async def create_app(self, request: dict[str, Any]) -> dict[str, Any]:
        """The portal's answer to `portal.create-app`."""
        if request["name"] == "taken":
            raise Conflict("The name taken is reserved; choose another.")
        self.created.append(request)
        return {"created": True, "owner": request["owner"]}

    async def on_event(self, event: Event) -> None:
        """The builder's ear."""
        if event.type == "app.pushed":
            self.pushed.append(event)
            if self.answer:
                await self.answer(self, event)
        elif event.type == "push.cancelled":
            self.cancelled.append(event)

    async def publish(self, service: str, data: Any) -> None:
        await self.buses[service].publish(new_event(service, data))

    async def progress(self, event: Event, line: str) -> None:
        await self.buses["builder"].emit_progress(event.data.deploy_id, line)

    async def succeed(self, event: Event) -> None:
        data = event.data
        done = DeploySucceeded(
            app=data.app, deploy_id=data.deploy_id, release=1, path=f"/{data.app}/"
        )
        await self.publish("scheduler", done)

    async def fail_build(self, event: Event, reason: str) -> None:
        data = event.data
        done = BuildFailed(app=data.app, deploy_id=data.deploy_id, build_id="b1", reason=reason)
        await self.publish("builder", done)

    async def fail_deploy(self, event: Event, reason: str) -> None:
        data = event.data
        done = DeployFailed(app=data.app, deploy_id=data.deploy_id, release=2, reason=reason)
        await self.publish("scheduler", done)

    async def make_app(self, app: str, owner: str = "ann", *grants: Grant) -> None:
        """An app that exists already, with its access rule, known to the service."""
        await self.publish("portal", AppCreated(app=app, owner=owner))
        if grants:
            rule = AccessChanged(app=app, mode="restricted", owner=owner, grants=grants)
            await self.publish("auth", rule)
        wanted = len(grants)
        await self.until(lambda: self.grants_of(app), lambda found: found == wanted)

    async def delete_app(self, app: str) -> None:
        await self.publish("portal", AppDeleted(app=app))

    async def grants_of(self, app: str) -> int | None:
        return await self.database.fetchval(
            "select jsonb_array_length(grants) from repositories where app = $1", app
        )

    # --- what the test looks at ---

    async def rows(self) -> list[Any]:
        return await self.database.fetch("select * from pushes order by sequence")

    def leftovers(self) -> list[Path]:
        """Archives and quarantines that should be gone."""
        git = self.home / "git"
        return [*git.glob(".sources/*"), *git.glob("*.git/objects/tmp_objdir*"), *git.glob(".new*")]

    async def until(
        self, ask: Callable[[], Any], good: Callable[[Any], bool] = bool, seconds: float = 15
    ) -> Any:
        """Ask until the answer is good; the answer."""
        deadline = time.monotonic() + seconds
        while True:
            found = ask()
            if asyncio.iscoroutine(found):
                found = await found
            if good(found):
                return found
            assert time.monotonic() < deadline, f"still {found!r} after {seconds} s"
            await asyncio.sleep(0.03)

    # --- the pusher ---

    def url(self, app: str) -> str:
        return f"http://127.0.0.1:{self.port}/-/git/{app}.git"

    def header(
        self, user: str = "ann", role: str = "developer", groups: tuple[str, ...] = ()
    ) -> str:
        caller = Caller(user=user, platform_role=role, groups=groups)
        return f"{HEADER}: {self.signer.sign(identity_claims(caller, 'platform'))}"

    async def git(self, *words: str | Path, cwd: Path | None = None, **who: Any) -> Result:
        child = await self.start_git(*words, cwd=cwd, **who)
        output, _ = await asyncio.wait_for(child.communicate(), 90)
        return Result(child.returncode or 0, output.decode(errors="replace"))

    async def start_git(
        self, *words: str | Path, cwd: Path | None = None, **who: Any
    ) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            "git",
            "-c",
            f"http.extraHeader={self.header(**who)}",
            *words,
            cwd=cwd or self.folder,
            env=client_environment(),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )

    async def work(self, name: str = "work", branch: str = "main", **files: str) -> Path:
        """A working copy with one commit; "__" in a keyword stands for "."."""
        folder = self.folder / name
        folder.mkdir()
        await self.git("init", "-q", "-b", branch, cwd=folder)
        await self.commit(folder, **(files or {"app__py": "print('hello')\n"}))
        return folder

    async def commit(self, folder: Path, **files: str) -> str:
        for file, text in files.items():
            (folder / file.replace("__", ".")).write_text(text)
        await self.git("add", "-A", cwd=folder)
        result = await self.git("commit", "-q", "--allow-empty", "-m", "Change it", cwd=folder)
        assert result.status == 0, result.text
        return await self.rev(folder, "HEAD")

    async def commit_tree(self, folder: Path, *entries: tuple[str, str, str]) -> str:
        """A commit whose tree git's client would not make by itself: (mode, object id, name)."""
        await self.git("update-ref", "-d", "HEAD", cwd=folder)
        lines = "".join(
            f"{mode} {'commit' if mode == '160000' else 'tree' if mode == '040000' else 'blob'}"
            f" {oid}\t{name}\0"
            for mode, oid, name in entries
        )
        tree = await pipe(folder, lines.encode(), "git", "mktree", "-z", "--missing")
        commit = await pipe(folder, b"odd", "git", "commit-tree", tree)
        await self.git("update-ref", "refs/heads/main", commit, cwd=folder)
        return commit

    async def blob(self, folder: Path, text: str) -> str:
        return await pipe(folder, text.encode(), "git", "hash-object", "-w", "--stdin")

    async def rev(self, folder: Path, name: str) -> str:
        return (await self.git("rev-parse", "-q", "--verify", name, cwd=folder)).text.strip()

    async def push(self, folder: Path, app: str = "sales", *refs: str, **who: Any) -> Result:
        return await self.git("push", self.url(app), *(refs or ("main",)), cwd=folder, **who)

    async def remote_main(self, app: str = "sales", branch: str = "main") -> str:
        """Where the branch stands on the server's disk, "" when it does not exist."""
        return await self.rev(self.home / "git" / f"{app}.git", f"refs/heads/{branch}")


def client_environment() -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "HOME": "/nonexistent",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "LC_ALL": "C.UTF-8",
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "safe.directory",
        "GIT_CONFIG_VALUE_0": "*",
        **{
            f"GIT_{who}_{what}": value
            for who in ("AUTHOR", "COMMITTER")
            for what, value in (("NAME", "Ann Lee"), ("EMAIL", "ann@example.org"))
        },
    }


async def pipe(folder: Path, sent: bytes, *command: str) -> str:
    child = await asyncio.create_subprocess_exec(
        *command,
        cwd=folder,
        env=client_environment(),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await child.communicate(sent)
    assert child.returncode == 0, command
    return output.decode().strip()


class Door:
    """A TCP port that leads to the service's unix socket, as the gateway would."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket
        self._server: asyncio.Server | None = None

    async def open(self) -> int:
        self._server = await asyncio.start_server(self._meet, "127.0.0.1", 0)
        return self._server.sockets[0].getsockname()[1]

    def close(self) -> None:
        assert self._server
        self._server.close()

    async def _meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            inner, outer = await asyncio.open_unix_connection(self._socket)
            ways = {
                asyncio.create_task(_carry(reader, outer)),
                asyncio.create_task(_carry(inner, writer)),
            }
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            for way in ways:
                way.cancel()
            outer.close()
        writer.close()


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while chunk := await reader.read(64 * 1024):
            writer.write(chunk)
            await writer.drain()


def listen_as_builder(stage: Stage) -> asyncio.Task[None]:
    return asyncio.create_task(Consumer(stage.buses["builder"], "builder", stage.on_event).run())
