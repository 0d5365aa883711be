"""What happens in git's pre-receive hook: what was pushed is checked, packed and handed on."""

import asyncio
import errno
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from services.git_ingest import store
from services.git_ingest.deploys import Commit, Deploys
from services.git_ingest.hooks import Hook, HookGone
from services.git_ingest.lines import clean_line
from services.git_ingest.links import check_links
from services.git_ingest.refs import FIRST_BRANCHES, Update, going_live
from services.git_ingest.sources import Source, Spool, links_in
from services.git_ingest.store import NewPush
from services.git_ingest.trees import Summary, TreeLimits, listed, size_text, survey
from shared.database import Database
from shared.errors import Conflict, Invalid, MoorageError
from shared.identity import Caller
from shared.logs import get_logger
from shared.names import new_id
from shared.telemetry import span

logger = get_logger(__name__)

COMMIT_BYTES = 64 * 1024
MESSAGE_LENGTH = 500


@dataclass
class Ticket:
    """One request that may become a push. `id` is a secret between us and its hook."""

    app: str
    caller: Caller
    id: str = field(default_factory=new_id)
    deploy_id: str | None = None
    accepted: bool = False


class Reception:
    """Converses with hooks."""

    def __init__(
        self, database: Database, deploys: Deploys, spool: Spool, limits: TreeLimits, holder: str
    ) -> None:
        self._database = database
        self._deploys = deploys
        self._spool = spool
        self._limits = limits
        self._holder = holder

    async def converse(self, ticket: Ticket, hook: Hook) -> int:
        """Receive a push to the end; the hook's exit status. Every refusal is one sentence."""
        try:
            with span("push", app=ticket.app, pusher=ticket.caller.user):
                ticket.accepted = await self._receive(ticket, hook)
        except MoorageError as error:
            await hook.say(error.detail)
        except TimeoutError:
            await hook.say("Reading what was pushed took too long; push less, or try again later.")
        except OSError as error:
            logger.exception("push failed")
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            await hook.say(_DISK_FULL if full else _OWN_ERROR)
        except HookGone:
            raise
        except Exception:
            logger.exception("push failed")
            await hook.say(_OWN_ERROR)
        return 0 if ticket.accepted else 1

    async def _receive(self, ticket: Ticket, hook: Hook) -> bool:
        updates = await hook.updates()
        repository = await store.repository(self._database, ticket.app)
        if repository is None:
            raise Conflict(f"The app {ticket.app} was deleted while you were pushing.")
        update = going_live(updates, repository.deploy_branch)
        others = [other for other in updates if other is not update and not other.deletes]
        for oid in dict.fromkeys(other.new for other in others):
            await self._survey(hook, oid)
        for other in others:
            if other.branch:
                live = repository.deploy_branch or FIRST_BRANCHES[0]
                await hook.say(f"{other.title} is stored and not deployed: only {live} goes live.")
        return update is None or await self._deploy(ticket, hook, update)

    async def _survey(self, hook: Hook, oid: str) -> Summary:
        async with hook.show("tree", oid) as chunks:
            return await survey(listed(chunks), self._limits)

    async def _deploy(self, ticket: Ticket, hook: Hook, update: Update) -> bool:
        commit = await _read_commit(hook, update.new)
        summary = await self._survey(hook, update.new)
        if not summary.files:
            raise Invalid("There are no files in what was pushed; commit your app and push again.")
        snapshot = await _read_snapshot(hook, update.new)
        async with self._spool.slot() as slot:
            async with hook.show("archive", snapshot) as chunks:
                source = await slot.fill(chunks)
            if summary.links:
                check_links(await asyncio.to_thread(links_in, source.path))
            return await self._carry(ticket, hook, update, commit, source)

    async def _carry(
        self, ticket: Ticket, hook: Hook, update: Update, commit: Commit, source: Source
    ) -> bool:
        push = self._new_push(ticket, update, commit, source)
        ticket.deploy_id = push.deploy_id
        await hook.say(f"{ticket.app}: {commit.id[:8]} received ({size_text(source.size)})")
        carrying = asyncio.create_task(self._deploys.carry(push, update, commit, source, hook))
        leaving = asyncio.create_task(hook.gone())
        try:
            await asyncio.wait({carrying, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if not carrying.done():
                raise HookGone
            return await carrying
        finally:
            carrying.cancel()
            leaving.cancel()
            await asyncio.gather(carrying, leaving, return_exceptions=True)

    def _new_push(self, ticket: Ticket, update: Update, commit: Commit, source: Source) -> NewPush:
        return NewPush(
            deploy_id=new_id(),
            app=ticket.app,
            holder=self._holder,
            pusher=ticket.caller.user,
            branch=update.branch or "",
            commit_id=commit.id,
            source=source.digest,
            size=source.size,
        )


async def _read_commit(hook: Hook, oid: str) -> Commit:
    async with hook.show("commit", oid) as chunks:
        return parse_commit(oid, await _read(chunks))


async def _read_snapshot(hook: Hook, oid: str) -> str:
    """A commit of the same files that says nothing else: equal files make an equal archive.

    It stays in the repository unreferenced, where git's own housekeeping removes it.
    """
    async with hook.show("snapshot", f"{oid}^{{tree}}") as chunks:
        return (await _read(chunks)).decode().strip()


async def _read(chunks: AsyncIterator[bytes]) -> bytes:
    """What is shown, up to a limit."""
    found = b""
    async for chunk in chunks:
        found += chunk
        if len(found) > COMMIT_BYTES:
            break
    return found[:COMMIT_BYTES]


def parse_commit(oid: str, raw: bytes) -> Commit:
    """Author and first line of a commit object (gitformat: headers, an empty line, the message)."""
    head, _, message = raw.decode("utf-8", "replace").partition("\n\n")
    author = next((line[7:] for line in head.split("\n") if line.startswith("author ")), "")
    name = author.rpartition(">")[0]
    return Commit(
        id=oid,
        author=clean_line(f"{name}>" if name else author)[:MESSAGE_LENGTH],
        message=clean_line(message.strip().partition("\n")[0])[:MESSAGE_LENGTH],
    )


_OWN_ERROR = "The platform had an error of its own, which its log shows; try again in a minute."
_DISK_FULL = "The platform's disk is full; tell its operator, nothing was changed."
