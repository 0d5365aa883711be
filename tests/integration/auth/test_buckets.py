"""Whatever happens to the buckets, they become what the tables say."""

import asyncio
from typing import Any

from services.auth.tokens import digest
from shared.errors import Unavailable
from shared.events import new_event
from shared.events.catalogue import AppCreated

BUCKETS = ("people", "tokens", "access", "signing-keys", "gateway-keys")


async def contents(auth: Any) -> dict[str, Any]:
    return {name: await auth.gateway.bucket(name).items() for name in BUCKETS}


async def full(auth: Any) -> dict[str, Any]:
    """All buckets with something in each."""
    await auth.handle(new_event("portal", AppCreated(app="sales", owner="admin")))
    for name, key in (
        ("people", "admin"),
        ("tokens", digest(auth.admin_token)),
        ("access", "sales"),
        ("gateway-keys", "identity"),
    ):
        await auth.bucket(name, key)
    return await contents(auth)


async def test_the_first_token_is_the_one_of_the_file(auth: Any) -> None:
    known = await auth.bucket("tokens", digest(auth.admin_token))
    assert known["user"] == "admin"
    assert known["scopes"] == ["all"]
    assert known["expires"] is None


async def test_lost_buckets_are_filled_again(
    auth: Any, nats_server: Any, eventually_equal: Any
) -> None:
    before = await full(auth)
    nats_server.lose_everything()
    nats_server.start()
    await eventually_equal(lambda: contents(auth), before)


async def test_wrong_missing_and_strange_values_are_put_right(
    auth: Any, bus_for: Any, eventually_equal: Any
) -> None:
    before = await full(auth)
    writer = await bus_for("auth", "auth-2")
    await writer.bucket("people").put("admin", {"user": "admin", "active": False})
    await writer.bucket("people").put("ghost", {"user": "ghost", "active": True})
    await writer.bucket("tokens").delete(digest(auth.admin_token))
    await writer.bucket("tokens").put("0" * 64, {"id": "x", "user": "admin", "scopes": ["all"]})
    await writer.bucket("gateway-keys").delete("identity")
    await eventually_equal(lambda: contents(auth), before)


async def test_only_auth_writes_them(auth: Any, bus_for: Any) -> None:
    stranger = await bus_for("builder")
    tried = await asyncio.gather(
        stranger.bucket("people").put("eve", {"user": "eve", "role": "admin"}),
        stranger.bucket("gateway-keys").get("identity"),
        return_exceptions=True,
    )
    assert [type(outcome) for outcome in tried] == [Unavailable, Unavailable]
    assert await auth.gateway.bucket("people").get("eve") is None
