"""The portal's process: API, page, call and events, on real servers."""

import asyncio
from datetime import timedelta

import asyncpg
import httpx
import pytest

from shared import identity
from shared.errors import Conflict, Invalid
from shared.events import Event, new_event
from shared.events.catalogue import AccessChanged, DeployFailed, DeploySucceeded, Grant

pytestmark = pytest.mark.asyncio

API = "/-/api/v1"


async def until(condition, seconds: float = 15.0) -> None:
    """Poll an async condition until it holds."""
    async with asyncio.timeout(seconds):
        while not await condition():
            await asyncio.sleep(0.03)


class Front:
    """The gateway, as far as the portal knows it: signs who is asking."""

    def __init__(self, socket, key) -> None:
        self.client = httpx.AsyncClient(
            transport=httpx.AsyncHTTPTransport(uds=str(socket)), base_url="http://platform"
        )
        self._signer = identity.Signer(key)

    async def ask(self, user: str, method: str, path: str, **more) -> httpx.Response:
        """Ask as `user`: "root" is an administrator, "guest" a viewer, others developers."""
        role = {"root": "admin", "guest": "viewer"}.get(user, "developer")
        caller = identity.Caller(user=user, platform_role=role, groups=more.pop("groups", ()))
        token = self._signer.sign(identity.identity_claims(caller, identity.PLATFORM))
        return await self.client.request(method, path, headers={identity.HEADER: token}, **more)

    async def names(self, user: str, **more) -> list[str]:
        listed = await self.ask(user, "GET", f"{API}/apps", **more)
        return [app["name"] for app in listed.json()]


@pytest.fixture
async def front(bus_for, start_service, nats_server):
    auth = await bus_for("auth")
    key = identity.new_key()
    document = {"kid": key["kid"], "use": "identity", "jwk": identity.public_part(key)}
    await auth.bucket("signing-keys").put(key["kid"], document | {"not_after": 4e9})
    await start_service("portal")
    front = Front(nats_server.layout.socket("portal-1"), key)

    async def ready() -> bool:
        return (await front.ask("ada", "GET", f"{API}/apps")).status_code == 200

    await until(ready)
    yield front
    await front.client.aclose()


@pytest.fixture
async def table(test_database):
    """The portal's own tables."""
    connection = await asyncpg.connect(
        test_database.url("portal"),
        password=test_database.password_file("portal").read_text(),
        server_settings={"search_path": "portal"},
    )
    yield connection
    await connection.close()


async def published(table) -> list[tuple[str, str]]:
    rows = await table.fetch("select envelope from outbox order by position")
    events = [Event.parse(row["envelope"]) for row in rows]
    return [(event.type, event.subject) for event in events]


async def test_life_of_an_app(front, table):
    made = await front.ask("ada", "POST", f"{API}/apps", json={"name": "sales", "title": "Sales"})
    assert made.status_code == 201
    assert made.headers["location"] == f"{API}/apps/sales"
    shown = made.json()
    assert (shown["state"], shown["owner"], shown["role"]) == ("empty", "ada", "owner")
    assert shown["url"].endswith("/sales/")

    again = await front.ask("ada", "POST", f"{API}/apps", json={"name": "sales"})
    other = await front.ask("bob", "POST", f"{API}/apps", json={"name": "sales"})
    assert (again.status_code, other.status_code) == (409, 409)

    changes = {"description": "Who bought what", "tags": ["money"]}
    changed = await front.ask("ada", "PATCH", f"{API}/apps/sales", json=changes)
    assert changed.json()["title"] == "Sales"
    assert changed.json()["tags"] == ["money"]

    for method in ("GET", "PATCH", "DELETE"):
        refused = await front.ask("bob", method, f"{API}/apps/sales", json={"title": "Mine"})
        assert refused.status_code == 403, method
    assert await front.names("bob") == []
    assert await front.names("root") == ["sales"]

    assert (await front.ask("ada", "DELETE", f"{API}/apps/sales")).status_code == 204
    assert (await front.ask("ada", "GET", f"{API}/apps/sales")).status_code == 404
    assert await published(table) == [("app.created", "sales"), ("app.deleted", "sales")]
    audit = await table.fetch("select actor, action, app from audit order by id")
    assert [tuple(row) for row in audit] == [
        ("ada", "app.create", "sales"),
        ("ada", "app.describe", "sales"),
        ("ada", "app.delete", "sales"),
    ]


async def test_refusals(front):
    for body in ({}, {"name": "No Good"}, {"name": "x", "tags": ["t" * 41]}, {"name": "x", "y": 1}):
        answer = await front.ask("ada", "POST", f"{API}/apps", json=body)
        assert answer.status_code == 400, body
        assert answer.json()["detail"]
    guest = await front.ask("guest", "POST", f"{API}/apps", json={"name": "mine"})
    assert guest.status_code == 403
    assert (await front.client.get(f"{API}/apps")).status_code == 401
    assert (await front.ask("ada", "GET", f"{API}/events?limit=0")).status_code == 400
    assert (await front.ask("ada", "GET", f"{API}/events?app=ghost")).status_code == 404


async def test_create_app_by_call(front, bus_for, table):
    git_ingest = await bus_for("git_ingest")
    first = await git_ingest.request("portal.create-app", {"name": "pushed", "owner": "ada"})
    again = await git_ingest.request("portal.create-app", {"name": "pushed", "owner": "ada"})
    assert (first, again) == (
        {"created": True, "owner": "ada"},
        {"created": False, "owner": "ada"},
    )
    with pytest.raises(Conflict, match="somebody else"):
        await git_ingest.request("portal.create-app", {"name": "pushed", "owner": "bob"})
    with pytest.raises(Invalid):
        await git_ingest.request("portal.create-app", {"name": "No Good", "owner": "ada"})
    assert await published(table) == [("app.created", "pushed")]


async def test_access_decides_who_sees_app_and_events(front, bus_for):
    await front.ask("ada", "POST", f"{API}/apps", json={"name": "sales"})
    auth = await bus_for("auth")
    grants = (
        Grant(kind="user", name="bob", role="viewer"),
        Grant(kind="group", name="finance", role="collaborator"),
    )
    rule = AccessChanged(app="sales", mode="restricted", owner="ada", grants=grants)
    await auth.publish(new_event("auth", rule))

    async def bob_sees() -> bool:
        return await front.names("bob") == ["sales"]

    await until(bob_sees)
    assert await front.names("guest") == []
    assert await front.names("guest", groups=("finance",)) == ["sales"]
    assert (await front.ask("guest", "GET", f"{API}/events")).json() == []
    listed = (await front.ask("bob", "GET", f"{API}/events?app=sales")).json()
    assert [event["type"] for event in listed] == ["access.changed", "app.created"]
    assert (listed[1]["app"], listed[1]["actor"]) == ("sales", "ada")
    assert (await front.ask("guest", "GET", f"{API}/events?app=sales")).status_code == 403


async def test_deploys_and_routes_show(front, bus_for):
    await front.ask("ada", "POST", f"{API}/apps", json={"name": "sales"})
    scheduler = await bus_for("scheduler")
    failed = DeployFailed(app="sales", deploy_id="d1", reason="It exits with status 1.")
    await scheduler.publish(new_event("scheduler", failed))

    async def error() -> str | None:
        return (await front.ask("ada", "GET", f"{API}/apps/sales")).json()["last_error"]

    await until(lambda: _equals(error, "It exits with status 1."))
    went = DeploySucceeded(app="sales", deploy_id="d2", release=3, path="/sales/")
    await scheduler.publish(new_event("scheduler", went))
    await until(lambda: _equals(error, None))
    router = await bus_for("router")
    await router.bucket("routes").put("sales", {"app": "sales", "state": "running", "reason": ""})

    async def state() -> str:
        return (await front.ask("ada", "GET", f"{API}/apps/sales")).json()["state"]

    await until(lambda: _equals(state, "running"))
    shown = (await front.ask("ada", "GET", f"{API}/apps/sales")).json()
    assert shown["release"] == 3
    assert shown["last_deploy"]


async def _equals(read, wanted) -> bool:
    return await read() == wanted


async def test_status(front):
    rows = (await front.ask("guest", "GET", f"{API}/status")).json()
    portal = next(row for row in rows if row["service"] == "portal")
    assert portal["state"] == "running"
    assert portal["age_seconds"] < 15
    assert "address" not in portal
    assert {"service": "builder", "state": "absent"} in rows
    rows = (await front.ask("root", "GET", f"{API}/status")).json()
    assert any(row.get("pid") for row in rows)


async def test_dead_letters(front, bus_for, table):
    assert (await front.ask("ada", "GET", f"{API}/dead-letters")).status_code == 403
    scheduler = await bus_for("scheduler")
    event = new_event("scheduler", DeployFailed(app="sales", deploy_id="d1", reason="no"))
    for _ in range(2):
        await scheduler.dead_letters.bury("scheduler", event.to_bytes(), {"Moorage-Reason": "bad"})
    letters = (await front.ask("root", "GET", f"{API}/dead-letters")).json()
    assert [letter["app"] for letter in letters] == ["sales", "sales"]
    first, second = (letter["id"] for letter in letters)
    replayed = await front.ask("root", "POST", f"{API}/dead-letters/{first}/replay")
    dropped = await front.ask("root", "DELETE", f"{API}/dead-letters/{second}")
    assert (replayed.status_code, dropped.status_code) == (204, 204)
    assert (await front.ask("root", "GET", f"{API}/dead-letters")).json() == []
    assert (await front.ask("root", "DELETE", f"{API}/dead-letters/{second}")).status_code == 404
    actions = await table.fetch("select action from audit order by id")
    assert [row["action"] for row in actions] == ["dead-letter.replay", "dead-letter.drop"]


async def test_page(front):
    away = await front.client.get("/")
    assert (away.status_code, away.headers["location"]) == (303, "/-/auth/login?next=/")
    empty = (await front.ask("ada", "GET", "/")).text
    assert "git push moorage main" in empty
    assert "Nobody has shared" in (await front.ask("guest", "GET", "/")).text
    hostile = {"name": "sales", "title": "<script>alert(1)</script>", "description": '"><img>'}
    await front.ask("ada", "POST", f"{API}/apps", json=hostile)
    answer = await front.ask("ada", "GET", "/")
    assert "<script>alert" not in answer.text
    assert '"><img>' not in answer.text
    assert 'href="/sales/"' in answer.text
    assert "script-src 'self'" in answer.headers["content-security-policy"]
    assert "unsafe" not in answer.headers["content-security-policy"]
    for name in ("portal.css", "portal.js", "icon.svg"):
        assert (await front.client.get(f"/-/static/{name}")).status_code == 200
    assert (await front.client.get("/-/static/../app.py")).status_code == 404


async def test_old_activity_is_forgotten(database_for):
    from services.portal import store

    database = await database_for("portal")
    await store.add_activity(
        database, "old", "sales", "app.created", "ada", {}, Event("x", None).time
    )
    old = Event("x", None).time - timedelta(days=31)
    await store.add_activity(database, "older", "sales", "app.created", "ada", {}, old)
    await store.prune_activity(database, 30)
    assert [row["id"] for row in await store.activity(database, None, 10)] == [1]
