"""Changing config and secrets in a real store, whole and cut short."""

import asyncio

import pytest

from services.secrets import store
from services.secrets.variables import empty_document
from shared.errors import Conflict, NotFound, Unavailable
from shared.events.catalogue import AppCreated, AppDeleted

pytestmark = pytest.mark.asyncio


async def test_config_and_secrets_share_one_version(room):
    await room.handle(AppCreated(app="sales", owner="ada"))
    await room.changes.change("sales", "config", {"REGION": "north", "DEBUG": "0"}, "ada")
    await room.changes.change("sales", "secrets", {"API_KEY": "k-1"}, "bob")
    await room.changes.change("sales", "config", {"DEBUG": None}, "ada")
    found = await room.changes.read("sales")
    assert found.version == 3
    assert found.document == {"config": {"REGION": "north"}, "secrets": {"API_KEY": "k-1"}}
    assert await room.announced() == [
        ("sales", 1, ["DEBUG", "REGION"], "ada"),
        ("sales", 2, ["API_KEY"], "bob"),
        ("sales", 3, ["DEBUG"], "ada"),
    ]


async def test_change_that_changes_nothing_makes_no_version(room):
    await room.handle(AppCreated(app="same", owner="ada"))
    await room.changes.change("same", "config", {"A": "1"}, "ada")
    again = await room.changes.change("same", "config", {"A": "1", "B": None}, "ada")
    assert again.version == 1
    assert len(await room.announced()) == 1


async def test_unknown_app(room):
    with pytest.raises(NotFound):
        await room.changes.change("nobody", "config", {"A": "1"}, "ada")


async def test_a_name_is_config_or_secret(room):
    await room.handle(AppCreated(app="either", owner="ada"))
    await room.changes.change("either", "config", {"A": "1"}, "ada")
    with pytest.raises(Conflict, match="config var"):
        await room.changes.change("either", "secrets", {"A": "2"}, "ada")


async def test_many_at_once_lose_nothing(room):
    await room.handle(AppCreated(app="busy", owner="ada"))

    async def set_until_done(name: str) -> None:
        while True:
            try:
                await room.changes.change("busy", "config", {name: name}, "ada")
                return
            except Conflict:
                continue

    names = [f"V{number}" for number in range(6)]
    await asyncio.gather(*(set_until_done(name) for name in names))
    found = await room.changes.read("busy")
    assert sorted(found.document["config"]) == names
    assert sorted(version for _, version, _, _ in await room.announced()) == [1, 2, 3, 4, 5, 6]
    assert await room.database.fetch("select * from intents") == []


async def test_death_between_store_and_commit_is_repaired(room):
    await room.handle(AppCreated(app="cut", owner="ada"))
    await store.begin(room.database, "intent-1", "cut", 1, "secrets", ["KEY"], "bob")
    await room.documents.write("cut", {**empty_document(), "secrets": {"KEY": "v"}}, 0)
    await room.repair.run()
    await room.repair.run()
    assert await room.announced() == [("cut", 1, ["KEY"], "bob")]
    assert await store.version(room.database, "cut") == 1


async def test_death_before_the_store_leaves_no_version(room):
    await room.handle(AppCreated(app="early", owner="ada"))
    await store.begin(room.database, "intent-2", "early", 1, "config", ["A"], "bob")
    await room.repair.run()
    assert await room.announced() == []
    assert await room.database.fetch("select * from intents") == []


async def test_version_nobody_explains_is_announced(room):
    await room.handle(AppCreated(app="restored", owner="ada"))
    await room.documents.write("restored", {**empty_document(), "config": {"A": "1"}}, 0)
    await room.repair.compare()
    assert await room.announced() == [("restored", 1, [], "unknown")]


async def test_deleted_app_leaves_nothing_and_its_name_starts_anew(room):
    await room.handle(AppCreated(app="gone", owner="ada"))
    await room.changes.change("gone", "secrets", {"KEY": "old"}, "ada")
    await room.issue("gone")
    await room.handle(AppDeleted(app="gone"))
    with pytest.raises(NotFound):
        await room.changes.read("gone")
    await room.handle(AppCreated(app="gone", owner="eve"))
    # Before the duty ran: the new owner must not find the old values.
    assert (await room.changes.read("gone")).document == empty_document()
    await room.changes.change("gone", "config", {"NEW": "1"}, "eve")
    await room.removals.finish_all()
    assert (await room.changes.read("gone")).document["config"] == {"NEW": "1"}


async def test_deleted_app_is_removed_by_the_duty(room):
    await room.handle(AppCreated(app="swept", owner="ada"))
    await room.changes.change("swept", "secrets", {"KEY": "old"}, "ada")
    await room.issue("swept")
    await room.handle(AppDeleted(app="swept"))
    await room.repair.run()
    admin = room.server.admin()
    assert "swept" not in admin.secrets.kv.v2.list_secrets("", mount_point="apps")["data"]["keys"]
    assert "app-swept" not in admin.sys.list_acl_policies()["data"]["keys"]


async def test_store_killed_paused_and_back(own_room):
    room = own_room
    await room.handle(AppCreated(app="sales", owner="ada"))
    await room.changes.change("sales", "config", {"A": "1"}, "ada")
    room.server.kill()
    with pytest.raises(Unavailable, match="secret store"):
        await room.changes.change("sales", "config", {"A": "2"}, "ada")
    with pytest.raises(Unavailable, match="secret store"):
        await room.issue("sales")
    assert (await room.issue("without-config"))["version"] == 0

    room.server.start()
    room.server.pause()
    with pytest.raises(Unavailable, match="does not answer"):
        await room.changes.read("sales")
    room.server.resume()
    await asyncio.to_thread(room.server.wait_active)
    await room.changes.change("sales", "config", {"A": "3"}, "ada")
    assert (await room.changes.read("sales")).document["config"] == {"A": "3"}


async def test_revoked_token_means_a_new_sign_in(own_room):
    room = own_room
    await room.handle(AppCreated(app="sales", owner="ada"))
    await room.changes.change("sales", "config", {"A": "1"}, "ada")
    admin = room.server.admin()
    for accessor in admin.list("auth/token/accessors")["data"]["keys"]:
        found = admin.auth.token.lookup_accessor(accessor)["data"]
        if "secrets" in found["policies"]:
            admin.auth.token.revoke_accessor(accessor)
    assert (await room.changes.read("sales")).document["config"] == {"A": "1"}


async def test_sealed_store_is_said_so(own_room):
    room = own_room
    await room.handle(AppCreated(app="sales", owner="ada"))
    await room.changes.change("sales", "config", {"A": "1"}, "ada")
    room.server.admin().sys.seal()
    with pytest.raises(Unavailable, match="secret store"):
        await room.changes.read("sales")
