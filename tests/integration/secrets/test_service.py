"""The process as it runs; and a canary that must appear nowhere but in the store."""

import asyncio
import logging
import os
import traceback

import httpx
import pytest

from shared import identity
from shared.errors import MoorageError, Unavailable
from shared.events import new_event
from shared.events.catalogue import AppCreated

pytestmark = pytest.mark.asyncio

APP = "service-" + os.urandom(4).hex()
CANARY = "canary-7f1c9e-" + os.urandom(6).hex()


class Front:
    """The gateway, as far as the service knows it: signs who is asking."""

    def __init__(self, socket, key) -> None:
        self.client = httpx.AsyncClient(
            transport=httpx.AsyncHTTPTransport(uds=str(socket)), base_url="http://platform"
        )
        self._signer = identity.Signer(key)

    async def ask(self, method: str, path: str, role: str = "collaborator", **more):
        caller = identity.Caller(
            user="ada", app=APP, app_role=identity.ROLE_NAMES[role], platform_role="developer"
        )
        token = self._signer.sign(identity.identity_claims(caller, identity.PLATFORM))
        return await self.client.request(
            method, f"/-/api/v1{path}", headers={identity.HEADER: token}, **more
        )


@pytest.fixture
async def key(bus_for):
    """The key that signs who is asking, known to every service."""
    made = identity.new_key()
    document = {"kid": made["kid"], "use": "identity", "jwk": identity.public_part(made)}
    auth = await bus_for("auth")
    await auth.bucket("signing-keys").put(made["kid"], document | {"not_after": 4e9})
    portal = await bus_for("portal")
    await portal.publish(new_event("portal", AppCreated(app=APP, owner="ada")))
    return made


@pytest.fixture
async def front(key, start_service, vault_server, nats_server):
    await start_service(
        "secrets",
        vault_address=vault_server.address,
        vault_ca_file=str(vault_server.ca_file),
        vault_role_file=str(vault_server.role_file),
    )
    front = Front(nats_server.layout.socket("secrets-1"), key)
    await until_answered(front, 200)
    yield front
    await front.client.aclose()


async def until_answered(front, status: int):
    """Ask for the app's config until the answer has this status; the answer."""
    async with asyncio.timeout(15):
        while (answer := await front.ask("GET", f"/apps/{APP}/config")).status_code != status:
            await asyncio.sleep(0.03)
    return answer


async def test_ready_and_clear_without_the_store(key, start_service, nats_server, vault_server):
    await start_service(
        "secrets",
        vault_address="https://127.0.0.1:9",
        vault_role_file=str(vault_server.role_file),
    )
    front = Front(nats_server.layout.socket("secrets-1"), key)
    async with asyncio.timeout(15):
        while "secret store" not in (await front.ask("GET", f"/apps/{APP}/config")).text:
            await asyncio.sleep(0.03)
    answer = await front.ask("PATCH", f"/apps/{APP}/secrets", json={"KEY": CANARY})
    assert answer.status_code == 503
    assert answer.headers["retry-after"]
    assert "secret store" in answer.json()["detail"]
    await front.client.aclose()


async def test_api_and_call(front, bus_for):
    answer = await front.ask("PATCH", f"/apps/{APP}/config", json={"REGION": "north"})
    assert (answer.status_code, answer.json()) == (200, {"REGION": "north"})
    assert answer.headers["etag"] == '"1"'
    answer = await front.ask("PATCH", f"/apps/{APP}/secrets", json={"API_KEY": CANARY})
    assert (answer.status_code, answer.json()) == (200, ["API_KEY"])
    assert CANARY not in answer.text
    assert (await front.ask("GET", f"/apps/{APP}/config")).json() == {"REGION": "north"}
    assert (await front.ask("GET", f"/apps/{APP}/secrets")).json() == ["API_KEY"]

    scheduler = await bus_for("scheduler")
    issued = await scheduler.request("secrets.issue", {"app": APP, "instance": "x"})
    assert issued["version"] == 2
    assert issued["path"] == f"apps/data/{APP}"
    assert CANARY not in str(issued)


async def test_who_may(front):
    for role in ("none", "viewer"):
        assert (await front.ask("GET", f"/apps/{APP}/config", role)).status_code == 403
        answer = await front.ask("PATCH", f"/apps/{APP}/secrets", role, json={"A": "b"})
        assert answer.status_code == 403
    answer = await front.client.get(f"/-/api/v1/apps/{APP}/config")
    assert answer.status_code == 401


BAD_BODIES = [
    b"{" + CANARY.encode(),
    b'["%s"]' % CANARY.encode(),
    b'{"PORT": "%s"}' % CANARY.encode(),
    b'{"KEY": {"x": "%s"}}' % CANARY.encode(),
    b'{"KEY": ["%s"]}' % CANARY.encode(),
    b'{"KEY": "%s\\u0000"}' % CANARY.encode(),
    b'{"KEY": "%s"}' % (CANARY.encode() * 4000),
    b'{"KEY": "%s"}' % (CANARY.encode() * 200_000),
    b"[" * 100_000,
    b"",
]


async def test_bad_bodies_are_refused_without_an_echo(front, nats_server):
    for body in BAD_BODIES:
        answer = await front.ask("PATCH", f"/apps/{APP}/secrets", content=body)
        assert answer.status_code == 400, (body[:100], answer.text[:300])
        assert CANARY not in answer.text
    assert CANARY not in all_logs(nats_server.layout)


async def test_canary_is_only_in_the_store(front, nats_server, bus_for, test_database):
    """A secret set, issued and failing: not in logs, database, events or the process list."""
    import asyncpg

    await front.ask("PATCH", f"/apps/{APP}/secrets", json={"CANARY_KEY": CANARY})
    await front.ask("PATCH", f"/apps/{APP}/config", json={"TOO_LONG": CANARY * 4000})
    scheduler = await bus_for("scheduler")
    await scheduler.request("secrets.issue", {"app": APP, "instance": "x"})
    assert CANARY not in all_logs(nats_server.layout)
    connection = await asyncpg.connect(
        test_database.url("secrets"),
        password=test_database.password_file("secrets").read_text(),
        server_settings={"search_path": "secrets"},
    )
    for table in ("versions", "intents", "outbox", "inbox", "apps"):
        rows = await connection.fetch(f"select {table}::text as row from {table}")
        assert CANARY not in str([row["row"] for row in rows])
    envelopes = await connection.fetch("select envelope from outbox")
    assert envelopes
    assert not any(CANARY.encode() in row["envelope"] for row in envelopes)
    await connection.close()
    for stored in nats_server.layout.nats.rglob("*"):
        assert not stored.is_file() or CANARY.encode() not in stored.read_bytes()


async def test_canary_is_in_no_exception(own_room, caplog):
    """Whatever fails on the way to the store, neither message nor traceback has the value."""
    caplog.set_level(logging.DEBUG)
    room = own_room
    await room.handle(AppCreated(app="sales", owner="ada"))
    await room.changes.change("sales", "config", {"A": "1"}, "ada")

    async def attempt() -> MoorageError:
        with pytest.raises(MoorageError) as caught:
            await room.changes.change("sales", "secrets", {"KEY": CANARY}, "ada")
        return caught.value

    room.server.pause()
    errors = [await attempt()]
    room.server.resume()
    room.server.wait_active()
    admin = room.server.admin()
    admin.sys.disable_secrets_engine("apps")
    admin.sys.enable_secrets_engine("kv", path="apps", options={"version": "1"})
    with pytest.raises(Exception) as caught:
        await room.changes.change("sales", "secrets", {"KEY": CANARY}, "ada")
    errors.append(caught.value)
    room.server.kill()
    errors.append(await attempt())
    assert isinstance(errors[0], Unavailable)
    for error in errors:
        assert CANARY not in "".join(traceback.format_exception(error))
    assert CANARY not in caplog.text


def all_logs(layout) -> str:
    return "".join(path.read_text(errors="replace") for path in layout.logs.rglob("*.log*"))
