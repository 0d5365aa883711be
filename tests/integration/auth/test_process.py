"""The real process, started as the platform starts it."""

from typing import Any

import httpx

from services.auth.tokens import digest
from shared.events import new_event
from shared.events.catalogue import AppCreated


async def test_it_bootstraps_once_serves_and_hears_of_apps(
    start_service: Any, nats_server: Any, bus_for: Any, eventually_equal: Any
) -> None:
    layout = nats_server.layout
    first = await start_service("auth")
    password = layout.admin_password.read_text().strip()
    token = layout.admin_token.read_text().strip()
    gateway = await bus_for("gateway")
    portal = await bus_for("portal")
    await portal.publish(new_event("portal", AppCreated(app="sales", owner="admin")))
    wanted = {"app": "sales", "mode": "restricted", "owner": "admin", "grants": []}
    await eventually_equal(lambda: gateway.bucket("access").get("sales"), wanted)

    # Restarted with other files it keeps the administrator it has.
    await first.stop()
    layout.admin_password.unlink()
    layout.admin_token.unlink()
    await start_service("auth", "auth-2")
    transport = httpx.AsyncHTTPTransport(uds=str(layout.socket("auth-2")))
    async with httpx.AsyncClient(transport=transport, base_url="http://host") as client:
        answer = await client.post(
            "/-/auth/login", data={"username": "admin", "password": password}
        )
        assert answer.status_code == 303
        tokens = await gateway.bucket("tokens").items()
        assert list(tokens) == [digest(token)]


async def test_a_second_process_takes_over(
    start_service: Any, bus_for: Any, eventually_equal: Any
) -> None:
    first = await start_service("auth")
    await start_service("auth", "auth-2")
    gateway, portal = await bus_for("gateway"), await bus_for("portal")
    await first.stop()
    await portal.publish(new_event("portal", AppCreated(app="sales", owner="admin")))
    wanted = {"app": "sales", "mode": "restricted", "owner": "admin", "grants": []}
    await eventually_equal(lambda: gateway.bucket("access").get("sales"), wanted)
    assert list(await gateway.bucket("people").items()) == ["admin"]
    uses = [key["use"] for key in (await gateway.bucket("signing-keys").items()).values()]
    assert sorted(uses) == ["identity", "session"]
