"""The auth service on real servers, in this process, seen as the gateway sees it."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import argon2
import httpx
import pytest_asyncio

from services.auth.app import assemble
from services.auth.keys import Keys
from services.auth.passwords import Hasher
from services.auth.sealing import Seal
from services.auth.settings import AuthSettings
from shared.bus import Bus
from shared.database import Database
from shared.errors import Unavailable
from shared.events import Event
from shared.identity import AppRole, Caller, Signer, identity_claims
from shared.process import Ground, Service

API = "/-/api/v1"
HOST = "http://moorage.test"


async def eventually(
    look: Callable[[], Awaitable[Any]], wanted: Callable[[Any], bool], seconds: float = 15.0
) -> Any:
    """What `look` finds once it is as wanted; fails with the last find at the deadline."""
    deadline = time.monotonic() + seconds
    while True:
        found = await look()
        if wanted(found):
            return found
        assert time.monotonic() < deadline, f"still {found!r} after {seconds} s"
        await asyncio.sleep(0.02)


@dataclass
class Auth:
    """The running service and the three sides from which a test looks at it."""

    service: Service
    settings: AuthSettings
    database: Database
    gateway: Bus
    http: httpx.AsyncClient
    keys: Keys
    admin_password: str
    admin_token: str

    async def identity(self, user: str, role: str = "viewer", **more: Any) -> dict[str, str]:
        """The header that the gateway would put on a request of this user."""
        jwk = await self.bucket("gateway-keys", "identity")
        caller = Caller(user, platform_role=role, **more)
        return {"X-Moorage-Identity": Signer(jwk).sign(identity_claims(caller, "platform"))}

    async def admin(self) -> dict[str, str]:
        return await self.identity("admin", "admin")

    async def bucket(self, name: str, key: str) -> Any:
        """A value in a bucket, waiting until there is one."""
        return await eventually(lambda: self.gateway.bucket(name).get(key), lambda v: v is not None)

    async def bucket_becomes(self, name: str, key: str, wanted: Callable[[Any], bool]) -> Any:
        return await eventually(lambda: self.gateway.bucket(name).get(key), wanted)

    async def call(
        self, method: str, path: str, who: dict[str, str], body: Any = None
    ) -> httpx.Response:
        return await self.http.request(method, API + path, headers=who, json=body)

    async def add(self, user: str, password: str = "correct horse", **more: Any) -> None:
        body = {"user": user, "password": password, **more}
        answer = await self.call("POST", "/users", await self.admin(), body)
        assert answer.status_code == 201, answer.text

    async def sign_in(
        self, user: str, password: str, address: str = "192.0.2.1", **form: str
    ) -> httpx.Response:
        """Send the form of the page."""
        return await self.http.post(
            "/-/auth/login",
            data={"username": user, "password": password, **form},
            headers={"X-Forwarded-For": address},
        )

    async def handle(self, event: Event) -> None:
        async with self.database.transaction() as tx:
            await self.service.handlers[event.type](event, tx, self.service.parts)

    async def recorded(self, kind: str) -> list[dict[str, Any]]:
        """The data of the events of one type in the outbox, in order."""
        rows = await self.database.fetch("select envelope from outbox order by position")
        events = [Event.parse(row["envelope"]) for row in rows]
        return [event.data.model_dump(mode="json") for event in events if event.type == kind]

    async def owner(self, user: str, app: str) -> dict[str, str]:
        return await self.identity(user, "developer", app=app, app_role=AppRole.OWNER)


async def end(tasks: list[asyncio.Task[None]]) -> None:
    """Cancel until all have ended: `wait_for` of Python 3.11 may swallow one cancellation."""
    pending = set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=1)


@pytest_asyncio.fixture
async def auth(nats_server: Any, bus_for: Any, database_for: Any) -> AsyncIterator[Auth]:
    layout = nats_server.layout
    settings = AuthSettings(
        **nats_server.settings("auth").model_dump(),
        auth_key_file=layout.keys / "auth-key",
        admin_password_file=layout.admin_password,
        admin_token_file=layout.admin_token,
        auth_compare_seconds=0.5,
    )
    database = await database_for("auth")
    ground = Ground("auth", settings, database, await bus_for("auth"))
    cheap = Hasher(argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
    service = await assemble(ground, cheap)
    assert service.api is not None
    duties = [asyncio.create_task(duty()) for duty in service.duties]
    transport = httpx.ASGITransport(service.api)
    async with httpx.AsyncClient(transport=transport, base_url=HOST) as client:
        seal = Seal.from_file(settings.auth_key_file)
        yield Auth(
            service,
            settings,
            database,
            await bus_for("gateway"),
            client,
            Keys(database, seal, settings.key_seconds, settings.session_seconds),
            layout.admin_password.read_text().strip(),
            layout.admin_token.read_text().strip(),
        )
    ended = [duty for duty in duties if duty.done()]
    await end(duties)
    assert not ended, "a duty ended during the test"


@pytest_asyncio.fixture
async def eventually_equal() -> Callable[..., Awaitable[Any]]:
    """`await eventually_equal(look, value)`, outages while looking included."""

    async def wait(look: Callable[[], Awaitable[Any]], value: Any) -> Any:
        async def calm() -> Any:
            try:
                return await look()
            except Unavailable as error:
                return error

        return await eventually(calm, lambda found: found == value, 30.0)

    return wait
