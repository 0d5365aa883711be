"""The unix socket on which git's pre-receive hook talks to this process.

Each push has an unguessable id that git hands to the hook; a connection that cannot name an open
push is closed. What the hook shows (listings, archives) comes on connections of its own, straight
from git, so no byte of it passes through Python twice. See `hook/pre-receive` for the words.
"""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from services.git_ingest.lines import clean_lines
from services.git_ingest.refs import Update
from shared.errors import Invalid
from shared.logs import get_logger

logger = get_logger(__name__)

BUFFER_BYTES = 128 * 1024
CHUNK_BYTES = 256 * 1024
MOST_UPDATES = 1000
CONNECT_SECONDS = 30.0
SHOW_SECONDS = 600.0
END_SECONDS = 10.0
LONGEST_SOCKET_PATH = 100
"""sockaddr_un holds 108 bytes on Linux and 104 elsewhere (unix(7))."""

Conversation = Callable[["Hook"], Awaitable[int]]
Shown = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class HookGone(Exception):
    """The hook's process ended before it was told to: its push is over."""


class Hook:
    """One hook's side of a push, as long as that push lasts."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._shown: asyncio.Future[Shown] | None = None

    async def updates(self) -> list[Update]:
        """The refs that this push changes. Raises `Invalid` when there are too many."""
        found: list[Update] = []
        while line := (await self._line()).rstrip("\n"):
            if len(found) <= MOST_UPDATES:
                found.append(Update.parse(line))
        if len(found) > MOST_UPDATES:
            raise Invalid(
                f"This push changes more than {MOST_UPDATES:,} branches and tags; push fewer."
            )
        return found

    async def say(self, text: str) -> None:
        """Print `text` in the pusher's terminal, cleaned of control characters."""
        for line in clean_lines(text):
            await self._order(f"say {line}")

    async def end(self, status: int) -> None:
        """Let the hook exit with `status`."""
        with suppress(HookGone):
            await self._order(f"exit {status}")

    @asynccontextmanager
    async def show(self, name: str, oid: str) -> AsyncIterator[AsyncIterator[bytes]]:
        """The output of one of the hook's commands, in pieces, never more than a buffer ahead.

        Raises `Invalid` when the command fails, unless the reader left before the end.
        """
        self._shown = asyncio.get_running_loop().create_future()
        await self._order(f"show {name} {oid}")
        reader, writer = await asyncio.wait_for(self._shown, CONNECT_SECONDS)
        try:
            async with asyncio.timeout(SHOW_SECONDS):
                yield _chunks(reader)
            complete = reader.at_eof()
        finally:
            # In any case: a hook that reports to a closed connection would not hear the rest.
            writer.close()
            status = (await self._line()).split()
        if complete and status != ["done", "0"]:
            raise Invalid("git could not read what was pushed; run `git fsck` and push again.")

    async def gone(self) -> None:
        """Return when the hook's process has ended. Only while nothing is being shown."""
        with suppress(OSError):
            await self._reader.read(1)

    def take(self, shown: Shown) -> bool:
        """Accept the connection that carries what was asked for."""
        if self._shown is None or self._shown.done():
            return False
        self._shown.set_result(shown)
        return True

    async def _order(self, order: str) -> None:
        try:
            self._writer.write(order.encode() + b"\n")
            await self._writer.drain()
        except OSError as error:
            raise HookGone from error

    async def _line(self) -> str:
        try:
            line = await self._reader.readline()
        except (OSError, ValueError) as error:
            raise HookGone from error
        if not line.endswith(b"\n"):
            raise HookGone
        return line.decode("utf-8", "replace")


class HookSocket:
    """Listens for hooks and leads each to the conversation of its push."""

    def __init__(self, folder: Path, name: str) -> None:
        self._wanted = folder / f"{name}.hook"
        self._conversations: dict[str, Conversation] = {}
        self._hooks: dict[str, Hook] = {}
        self._talks: dict[str, asyncio.Task[None] | None] = {}
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        self.path = self._wanted

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        self.path = self._choose_path()
        self.path.unlink(missing_ok=True)
        server = await asyncio.start_unix_server(self._meet, self.path, limit=BUFFER_BYTES)
        self.path.chmod(0o600)
        try:
            yield
        finally:
            server.close()
            self.path.unlink(missing_ok=True)
            if self._temporary:
                self._temporary.cleanup()

    def expect(self, push_id: str, conversation: Conversation) -> None:
        self._conversations[push_id] = conversation

    def leave(self, push_id: str) -> None:
        """The pusher has left: let the hook end, so that git tidies up behind it."""
        if talk := self._talks.get(push_id):
            talk.cancel()

    async def forget(self, push_id: str) -> None:
        """The hook's process is gone: see its conversation end."""
        self._conversations.pop(push_id, None)
        if talk := self._talks.get(push_id):
            await asyncio.wait({talk}, timeout=END_SECONDS)

    def _choose_path(self) -> Path:
        if len(str(self._wanted)) <= LONGEST_SOCKET_PATH:
            self._wanted.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            return self._wanted
        self._temporary = tempfile.TemporaryDirectory(prefix="moorage-")
        return Path(self._temporary.name) / self._wanted.name

    async def _meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        kept = False
        try:
            words = (await reader.readline()).decode("utf-8", "replace").split()
            match words:
                case ["push", push_id]:
                    await self._converse(push_id, Hook(reader, writer))
                case ["show", push_id, _name] if hook := self._hooks.get(push_id):
                    kept = hook.take((reader, writer))
                case _:
                    logger.warning("a hook that no push expects")
        except (OSError, ValueError) as error:
            logger.warning("hook connection failed", extra={"cause": repr(error)})
        finally:
            if not kept:
                writer.close()

    async def _converse(self, push_id: str, hook: Hook) -> None:
        conversation = self._conversations.pop(push_id, None)
        if conversation is None:
            await hook.say("This push is not known to the platform; push again.")
            return await hook.end(1)
        self._hooks[push_id] = hook
        self._talks[push_id] = asyncio.current_task()
        try:
            await hook.end(await conversation(hook))
        except HookGone:
            logger.info("a push ended before it was decided")
        finally:
            del self._hooks[push_id], self._talks[push_id]


async def _chunks(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    while chunk := await reader.read(CHUNK_BYTES):
        yield chunk
