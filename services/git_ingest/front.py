"""The HTTP door: `/-/git/<app>.git/...`, git's smart protocol only (gitprotocol-http(5))."""

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any
from urllib.parse import parse_qs

from services.git_ingest.apps import Apps
from services.git_ingest.backend import Backend, GitCall, Receive, Send, send_sentence
from services.git_ingest.environment import git_environment, settings_of_git
from services.git_ingest.holder import Holder
from services.git_ingest.hooks import HookSocket
from services.git_ingest.reception import Reception, Ticket
from services.git_ingest.repositories import Repositories
from services.git_ingest.settings import GitIngestSettings
from shared.errors import Invalid, MoorageError, NotFound, Unavailable
from shared.identity import HEADER, Caller, Callers
from shared.logs import get_logger

logger = get_logger(__name__)

_PATH = re.compile(r"/-/git/([^/]+)\.git/(info/refs|git-upload-pack|git-receive-pack)")
STOP_SECONDS = 5.0


@dataclass(frozen=True)
class GitRequest:
    """What git's client asks: `service` is git-upload-pack (clone) or git-receive-pack (push)."""

    app: str
    action: str
    service: str
    method: str
    query: str
    headers: Mapping[str, str]

    @staticmethod
    def of(scope: Mapping[str, Any]) -> "GitRequest":
        """Read an ASGI scope. Raises `NotFound` for what is not git's smart protocol."""
        match = _PATH.fullmatch(scope["path"])
        if not match:
            raise NotFound("There is no repository here: the address ends with /-/git/<app>.git.")
        app, action = match.groups()
        query = scope.get("query_string", b"").decode("latin-1")
        asked = parse_qs(query).get("service", [""])[0] if action == "info/refs" else action
        method = "GET" if action == "info/refs" else "POST"
        if asked not in ("git-upload-pack", "git-receive-pack") or scope["method"] != method:
            raise Invalid("Only git's smart HTTP protocol is spoken here; use git 1.7 or newer.")
        headers = {k.decode("latin-1").lower(): v.decode("latin-1") for k, v in scope["headers"]}
        return GitRequest(app, action, asked, method, query, headers)

    @property
    def pushes(self) -> bool:
        return self.service == "git-receive-pack"

    @property
    def cgi(self) -> dict[str, str]:
        """The variables of CGI (RFC 3875) that git's server program reads."""
        variables = {
            "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": f"/{self.app}.git/{self.action}",
            "REQUEST_METHOD": self.method,
            "QUERY_STRING": self.query,
            "REMOTE_ADDR": "127.0.0.1",
            "CONTENT_TYPE": self.headers.get("content-type", ""),
        }
        passed_on = {
            "CONTENT_LENGTH": "content-length",
            "HTTP_CONTENT_ENCODING": "content-encoding",
            "GIT_PROTOCOL": "git-protocol",
        }
        variables |= {k: self.headers[h] for k, h in passed_on.items() if h in self.headers}
        return variables


class Front:
    """The application: who asks, for which repository, and git's answer."""

    def __init__(
        self,
        callers: Callers,
        apps: Apps,
        repositories: Repositories,
        hooks: HookSocket,
        reception: Reception,
        holder: Holder,
        settings: GitIngestSettings,
    ) -> None:
        self._callers = callers
        self._apps = apps
        self._repositories = repositories
        self._hooks = hooks
        self._reception = reception
        self._holder = holder
        self._settings = settings
        self._transfers = 0
        self._idle = asyncio.Event()
        self._idle.set()

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        try:
            request = GitRequest.of(scope)
            caller = self._callers.verify(request.headers.get(HEADER.lower()))
            await self._open(request, caller)
            await self._transfer(request, caller, receive, send)
        except MoorageError as error:
            await send_sentence(send, error)

    async def wait_idle(self) -> None:
        """Return when no transfer is under way, or after a while."""
        try:
            await asyncio.wait_for(self._idle.wait(), STOP_SECONDS)
        except TimeoutError:
            logger.warning("stopped with transfers under way", extra={"count": self._transfers})

    async def _open(self, request: GitRequest, caller: Caller) -> None:
        """Let the caller in, or say why not; a push may create the app when it first knocks."""
        if request.pushes:
            may_create = request.action == "info/refs"
            await self._apps.open_for_push(request.app, caller, may_create)
        else:
            await self._apps.open_for_clone(request.app, caller)

    async def _transfer(
        self, request: GitRequest, caller: Caller, receive: Receive, send: Send
    ) -> None:
        if self._transfers >= self._settings.max_transfers:
            raise Unavailable("Too many pushes and clones are under way; try again in a minute.")
        self._transfers += 1
        self._idle.clear()
        try:
            if request.action == "git-receive-pack":
                await self._push(request, caller, receive, send)
            else:
                await Backend(self._call(request, {}), receive, send).serve()
        finally:
            self._transfers -= 1
            if not self._transfers:
                self._idle.set()

    async def _push(
        self, request: GitRequest, caller: Caller, receive: Receive, send: Send
    ) -> None:
        ticket = Ticket(request.app, caller)
        self._hooks.expect(ticket.id, partial(self._reception.converse, ticket))
        variables = {
            "MOORAGE_PUSH_SOCKET": str(self._hooks.path),
            "MOORAGE_PUSH_ID": ticket.id,
            "REMOTE_USER": caller.user,
        }
        try:
            async with self._repositories.in_use(ticket.app) as lock:
                call = replace(
                    self._call(request, variables),
                    settled=lambda: ticket.accepted,
                    leave=partial(self._leave, ticket),
                    inherited=(lock,),
                )
                await Backend(call, receive, send).serve()
        finally:
            # Not cut short by a cancelled request: the next push of this app waits for it.
            await asyncio.shield(asyncio.ensure_future(self._close(ticket)))

    def _leave(self, ticket: Ticket) -> None:
        if not ticket.accepted:
            self._hooks.leave(ticket.id)

    async def _close(self, ticket: Ticket) -> None:
        """The push's processes are gone: nothing moves its branch any more."""
        await self._hooks.forget(ticket.id)
        if not ticket.accepted:
            await asyncio.to_thread(self._repositories.tidy, ticket.app)
        if ticket.deploy_id:
            await self._holder.end(ticket.deploy_id)

    def _call(self, request: GitRequest, variables: Mapping[str, str]) -> GitCall:
        limit = int(self._settings.max_push)
        path = self._repositories.path(request.app)
        environment = git_environment(path, settings_of_git(limit))
        environment |= {"GIT_PROJECT_ROOT": str(self._repositories.folder)}
        return GitCall({**environment, **request.cgi, **variables}, limit)
