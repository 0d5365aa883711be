"""Who may open and change an app."""

from typing import Any

from shared.events import new_event
from shared.events.catalogue import AppCreated, AppDeleted
from shared.identity import AppRole


async def create(auth: Any, app: str, owner: str) -> None:
    await auth.handle(new_event("portal", AppCreated(app=app, owner=owner)))


async def test_a_new_app_is_its_owners_alone_and_a_deleted_one_nobodys(auth: Any) -> None:
    await create(auth, "sales", "admin")
    rule = await auth.bucket("access", "sales")
    assert rule == {"app": "sales", "mode": "restricted", "owner": "admin", "grants": []}
    assert await auth.recorded("access.changed") == [rule]

    await create(auth, "sales", "somebody-else")
    assert (await auth.bucket("access", "sales"))["owner"] == "admin"
    await auth.handle(new_event("portal", AppDeleted(app="sales")))
    await auth.bucket_becomes("access", "sales", lambda found: found is None)


async def test_the_owner_grants_and_everybody_is_told(auth: Any) -> None:
    await auth.add("ann", role="developer")
    await auth.add("bob")
    await create(auth, "sales", "ann")
    ann = await auth.owner("ann", "sales")
    grants = [
        {"kind": "group", "name": "finance", "role": "viewer"},
        {"kind": "user", "name": "bob", "role": "collaborator"},
    ]
    body = {"mode": "signed-in", "grants": grants}
    answer = await auth.call("PUT", "/apps/sales/access", ann, body)
    assert answer.status_code == 200, answer.text
    wanted = {"app": "sales", "mode": "signed-in", "owner": "ann", "grants": grants}
    assert answer.json() == wanted
    assert (await auth.call("GET", "/apps/sales/access", ann)).json() == wanted
    await auth.bucket_becomes("access", "sales", lambda rule: rule == wanted)
    assert (await auth.recorded("access.changed"))[-1] == wanted

    told = len(await auth.recorded("access.changed"))
    await auth.call("PUT", "/apps/sales/access", ann, body)
    assert len(await auth.recorded("access.changed")) == told


async def test_only_the_owner_and_administrators_may(auth: Any) -> None:
    await auth.add("bob")
    await create(auth, "sales", "admin")
    for role in (AppRole.NONE, AppRole.VIEWER, AppRole.COLLABORATOR):
        bob = await auth.identity("bob", app="sales", app_role=role)
        for method, body in (("GET", None), ("PUT", {"mode": "public"})):
            answer = await auth.call(method, "/apps/sales/access", bob, body)
            assert answer.status_code == 403
    assert (await auth.bucket("access", "sales"))["mode"] == "restricted"
    boss = await auth.admin()
    assert (
        await auth.call("PUT", "/apps/sales/access", boss, {"mode": "public"})
    ).status_code == 200


async def test_bad_rules_are_refused_and_change_nothing(auth: Any) -> None:
    await create(auth, "sales", "admin")
    boss = await auth.admin()
    one = {"kind": "user", "name": "admin", "role": "viewer"}
    for body, said in (
        ({"mode": "open"}, "mode"),
        ({"mode": "public", "grants": [one | {"name": "nobody"}]}, "no user 'nobody'"),
        ({"mode": "public", "grants": [one | {"role": "god"}]}, "role"),
        ({"mode": "public", "grants": [one, one]}, "name it once"),
        ({"mode": "public", "owner": "nobody"}, "no user 'nobody'"),
        ({"grants": []}, "mode"),
    ):
        answer = await auth.call("PUT", "/apps/sales/access", boss, body)
        assert answer.status_code == 400, body
        assert said in answer.json()["detail"]
    assert (await auth.call("GET", "/apps/other/access", boss)).status_code == 404
    assert (await auth.call("GET", "/apps/sales/access", boss)).json()["mode"] == "restricted"


async def test_an_app_is_handed_over_before_its_owner_goes(auth: Any) -> None:
    await auth.add("ann", role="developer")
    await auth.add("bob")
    await create(auth, "sales", "ann")
    boss = await auth.admin()
    body = {"mode": "restricted", "grants": [{"kind": "user", "name": "bob", "role": "viewer"}]}
    await auth.call("PUT", "/apps/sales/access", boss, body)
    refused = await auth.call("DELETE", "/users/ann", boss)
    assert refused.status_code == 409
    assert "'sales'" in refused.json()["detail"]

    handed = await auth.call("PUT", "/apps/sales/access", boss, body | {"owner": "bob"})
    assert handed.json()["owner"] == "bob"
    assert (await auth.call("DELETE", "/users/ann", boss)).status_code == 204


async def test_a_deleted_persons_grants_go_too(auth: Any) -> None:
    await auth.add("bob")
    await create(auth, "sales", "admin")
    boss = await auth.admin()
    body = {"mode": "restricted", "grants": [{"kind": "user", "name": "bob", "role": "viewer"}]}
    await auth.call("PUT", "/apps/sales/access", boss, body)
    assert (await auth.call("DELETE", "/users/bob", boss)).status_code == 204
    await auth.bucket_becomes("access", "sales", lambda rule: rule["grants"] == [])
    assert (await auth.recorded("access.changed"))[-1]["grants"] == []
