"""Traffic settings through the API, down to the bucket that the gateways read."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx
import pytest

from services.router.app import build
from services.router.limits import LIMITS
from services.router.settings import RouterSettings
from shared.database import Database
from shared.events import Event, EventData, new_event
from shared.events.catalogue import AppCreated, AppDeleted, Target, TargetsChanged
from shared.identity import AppRole, Caller, Signer, identity_claims, new_key, public_part
from shared.process import Ground, Service

PATH = "/-/api/v1/apps/sales/traffic"
NOTHING = dict.fromkeys(LIMITS)
CEILINGS = {"max_app_concurrent": 100, "max_app_rate": 10.0}


class Router:
    """The service in this process, and the sides from which a test looks at it."""

    def __init__(self, service: Service, database: Database, http: httpx.AsyncClient) -> None:
        self.service = service
        self.database = database
        self.http = http
        self.key = new_key()
        self.bucket: Any = None

    def header(self, caller: Caller) -> dict[str, str]:
        """What the gateway would put on a request of this caller."""
        return {"X-Moorage-Identity": Signer(self.key).sign(identity_claims(caller, "platform"))}

    def person(self, role: AppRole, user: str = "ada", **more: Any) -> dict[str, str]:
        return self.header(Caller(user, app="sales", app_role=role, **more))

    @property
    def owner(self) -> dict[str, str]:
        return self.person(AppRole.OWNER)

    @property
    def admin(self) -> dict[str, str]:
        return self.person(AppRole.NONE, "root", platform_role="admin")

    async def handle(self, source: str, data: EventData) -> None:
        event: Event = new_event(source, data)
        async with self.database.transaction() as tx:
            await self.service.handlers[event.type](event, tx, None)

    async def get(self, who: dict[str, str]) -> httpx.Response:
        return await self.http.get(PATH, headers=who)

    async def patch(self, who: dict[str, str], body: Any) -> httpx.Response:
        return await self.http.patch(PATH, headers=who, json=body)

    async def limit(self, **limits: float | None) -> None:
        answer = await self.patch(self.owner, {"limits": limits})
        assert answer.status_code == 200, answer.text

    async def route_becomes(self, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        async def look() -> dict[str, Any]:
            return await self.bucket.get("sales") or {}

        return await eventually(look, lambda route: bool(route) and wanted(route))

    async def announced(self) -> list[dict[str, Any]]:
        """The data of every `route.changed`, in order."""
        rows = await self.database.fetch("select envelope from outbox order by position")
        events = [Event.parse(row["envelope"]) for row in rows]
        return [event.data.model_dump(mode="json", exclude={"app"}) for event in events]


async def eventually(
    look: Callable[[], Awaitable[Any]], wanted: Callable[[Any], bool], seconds: float = 15.0
) -> Any:
    deadline = time.monotonic() + seconds
    while not wanted(found := await look()):
        assert time.monotonic() < deadline, f"still {found!r}"
        await asyncio.sleep(0.02)
    return found


def targets(revision: int, **more: Any) -> TargetsChanged:
    target = Target(instance="sales.web.1-1", address="127.0.0.1:20001", proof="process:7:8")
    return TargetsChanged(
        app="sales", revision=revision, release=1, state="running", targets=(target,), **more
    )


@pytest.fixture
async def router(nats_server: Any, bus_for: Any, database_for: Any) -> AsyncIterator[Router]:
    settings = RouterSettings(
        **nats_server.settings("router").model_dump(), router_compare_seconds=3600, **CEILINGS
    )
    database = await database_for("router")
    ground = Ground("router", settings, database, await bus_for("router"))
    async with build(ground) as service:
        assert service.api is not None
        transport = httpx.ASGITransport(service.api)
        async with httpx.AsyncClient(transport=transport, base_url="http://m.test") as http:
            made = Router(service, database, http)
            made.bucket = (await bus_for("gateway")).bucket("routes")
            duties = [asyncio.create_task(duty()) for duty in service.duties]
            await _share_key(made, await bus_for("auth"))
            await made.handle("portal", AppCreated(app="sales", owner="ada"))
            yield made
    ended = [duty for duty in duties if duty.done()]
    for duty in duties:
        duty.cancel()
    await asyncio.gather(*duties, return_exceptions=True)
    assert not ended, "a duty ended during the test"


async def _share_key(router: Router, auth: Any) -> None:
    """The key that the gateway signs with is known to the service before the test begins."""
    kid = router.key["kid"]
    document = {"kid": kid, "use": "identity", "jwk": public_part(router.key), "not_after": None}
    await auth.bucket("signing-keys").put(kid, document)

    async def status() -> int:
        return (await router.get(router.admin)).status_code

    await eventually(status, lambda code: code in (200, 404))


async def test_an_app_begins_with_what_the_platform_has(router: Router) -> None:
    answer = (await router.get(router.owner)).json()
    assert answer["app"] == "sales"
    assert answer["limits"].keys() == LIMITS.keys()
    assert answer["limits"]["concurrent"] == {"value": 5000, "default": True, "ceiling": 100}
    assert answer["limits"]["body_bytes"] == {"value": None, "default": True, "ceiling": None}
    assert answer["limits"]["idle_seconds"]["value"] == 3600
    assert answer["isolated"] == {"value": False, "default": True}
    route = await router.route_becomes(lambda _: True)
    assert (route["limits"], route["isolated"]) == (NOTHING, False)


async def test_a_change_reaches_the_gateways_and_leaves_the_revision(router: Router) -> None:
    await router.handle("scheduler", targets(7, retiring=("sales.web.0-1",)))
    before = await router.route_becomes(lambda route: route["revision"] == 7)
    body = {"limits": {"concurrent": 50, "rate": 2.5}, "isolated": True}
    answer = (await router.patch(router.owner, body)).json()
    assert answer["limits"]["concurrent"] == {"value": 50, "default": False, "ceiling": 100}
    assert answer["limits"]["burst"] == {"value": 2, "default": True, "ceiling": None}
    assert answer["isolated"] == {"value": True, "default": False}
    assert answer == (await router.get(router.owner)).json()
    after = await router.route_becomes(lambda route: route["isolated"])
    limits = NOTHING | {"concurrent": 50, "rate": 2.5}
    assert after == before | {"limits": limits, "isolated": True}


async def test_neither_the_scheduler_nor_people_overwrite_each_other(router: Router) -> None:
    await router.limit(concurrent=5)
    await router.handle("scheduler", targets(7))
    await router.limit(burst=9)
    await router.handle("scheduler", targets(8))
    route = await router.route_becomes(lambda route: route["revision"] == 8)
    assert route["limits"] == NOTHING | {"concurrent": 5, "burst": 9}
    assert route["targets"][0]["proof"] == "process:7:8"
    await router.limit(concurrent=None)
    route = await router.route_becomes(lambda route: route["limits"]["concurrent"] is None)
    assert (route["revision"], route["limits"]["burst"]) == (8, 9)


async def test_who_may_read_and_who_may_change(router: Router) -> None:
    body = {"limits": {"concurrent": 5}, "isolated": True}
    roles = {
        "nobody": ({}, 401, 401),
        "viewer": (router.person(AppRole.VIEWER), 403, 403),
        "collaborator": (router.person(AppRole.COLLABORATOR), 200, 403),
        "owner": (router.owner, 200, 200),
        "administrator": (router.admin, 200, 200),
    }
    for name, (who, reads, changes) in roles.items():
        assert (await router.get(who)).status_code == reads, name
        assert (await router.patch(who, body)).status_code == changes, name


async def test_only_administrators_go_beyond_a_ceiling(router: Router) -> None:
    too_much = {"limits": {"concurrent": 101, "burst": 3}}
    refused = await router.patch(router.owner, too_much)
    assert refused.status_code == 403
    assert refused.json()["detail"].startswith("On this platform 'concurrent' can be at most 100;")
    assert (await router.get(router.owner)).json()["limits"]["burst"]["default"]
    assert (await router.patch(router.admin, too_much)).status_code == 200
    # What an administrator allowed stays when the owner changes something else, or nothing.
    for limits in ({"rate": 10}, {"concurrent": 101, "rate": 9}):
        assert (await router.patch(router.owner, {"limits": limits})).status_code == 200
    assert (await router.patch(router.owner, {"limits": {"rate": 10.5}})).status_code == 403
    held = (await router.get(router.owner)).json()["limits"]
    assert (held["concurrent"]["value"], held["rate"]["value"]) == (101, 9)


@pytest.mark.parametrize(
    "content",
    [b"", b"nonsense", b"[" * 100_000, b'{"limits": {"concurrent": 0}}', b"1" * 20_000],
)
async def test_nonsense_is_refused_with_a_sentence_and_changes_nothing(
    router: Router, content: bytes
) -> None:
    before = (await router.get(router.owner)).json()
    answer = await router.http.patch(PATH, headers=router.owner, content=content)
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["detail"].endswith(".")
    assert (await router.get(router.owner)).json() == before


async def test_bounds_of_the_api_are_bounds_of_the_table(router: Router) -> None:
    for limit in LIMITS.values():
        for value in (limit.least, limit.most):
            wanted = {limit.name: int(value) if limit.whole else value}
            answer = await router.patch(router.admin, {"limits": wanted})
            assert answer.status_code == 200, (wanted, answer.text)
            await router.route_becomes(
                lambda route, wanted=wanted: wanted.items() <= route["limits"].items()
            )


async def test_the_feed_is_told_who_changed_what(router: Router) -> None:
    await router.handle("scheduler", targets(7))
    await router.patch(router.owner, {"limits": {"concurrent": 5, "rate": None}, "isolated": True})
    await router.patch(router.owner, {"limits": {"concurrent": 5}, "isolated": True})
    assert await router.announced() == [
        {"revision": 0, "traffic": [], "actor": ""},
        {"revision": 7, "traffic": [], "actor": ""},
        {"revision": 7, "traffic": ["concurrent", "isolated"], "actor": "ada"},
    ]


async def test_a_deleted_app_takes_its_limits_with_it(router: Router) -> None:
    await router.patch(router.owner, {"limits": {"concurrent": 5}, "isolated": True})
    await router.handle("portal", AppDeleted(app="sales"))
    assert (await router.get(router.owner)).status_code == 404
    assert (await router.patch(router.owner, {"isolated": False})).status_code == 404
    await eventually(lambda: router.bucket.get("sales"), lambda route: route is None)
    await router.handle("portal", AppCreated(app="sales", owner="bob"))
    route = await router.route_becomes(lambda _: True)
    assert (route["limits"], route["isolated"]) == (NOTHING, False)


async def test_changes_at_once_lose_nothing(router: Router) -> None:
    await asyncio.gather(
        router.limit(concurrent=5),
        router.limit(burst=6),
        router.limit(rate=7),
        router.limit(body_bytes=8),
        router.handle("scheduler", targets(7)),
    )
    wanted = NOTHING | {"concurrent": 5, "burst": 6, "rate": 7, "body_bytes": 8}
    route = await router.route_becomes(
        lambda route: route["revision"] == 7 and route["limits"] == wanted
    )
    assert route["state"] == "running"


async def test_the_real_process_answers(start_service: Any, nats_server: Any) -> None:
    await start_service("router")
    socket = nats_server.layout.socket("router-1")
    transport = httpx.AsyncHTTPTransport(uds=str(socket))
    async with httpx.AsyncClient(transport=transport, base_url="http://m.test") as http:
        answer = await http.get(PATH)
    assert answer.status_code in (401, 503)
    assert answer.headers["content-type"] == "application/problem+json"


async def test_isolation_is_undone_by_administrators_alone(router: Router) -> None:
    assert (await router.patch(router.owner, {"isolated": True})).status_code == 200
    refused = await router.patch(router.owner, {"isolated": False})
    assert refused.status_code == 403
    assert "administrator" in refused.json()["detail"]
    assert (await router.patch(router.admin, {"isolated": False})).status_code == 200
