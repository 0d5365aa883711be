"""What an app's own credentials can do: read its document, once, and nothing else."""

import hvac
import hvac.exceptions
import pytest

from shared.errors import Invalid
from shared.events.catalogue import AppCreated

pytestmark = pytest.mark.asyncio


def client(room, token: str) -> hvac.Client:
    return hvac.Client(room.server.address, verify=str(room.server.ca_file), token=token)


async def prepared(room, *apps: str) -> None:
    for app in apps:
        await room.handle(AppCreated(app=app, owner="ada"))
        await room.changes.change(app, "secrets", {"KEY": f"of {app}"}, "ada")


async def test_token_reads_its_own_document_and_nothing_else(room):
    await prepared(room, "one", "two")
    issued = await room.issue("one")
    assert issued["version"] == 1
    inside = client(room, issued["wrapped_token"]).sys.unwrap()["auth"]
    assert inside["policies"] == ["app-one"]
    assert inside["lease_duration"] <= 300
    mine = client(room, inside["client_token"])
    assert mine.read(issued["path"])["data"]["data"]["secrets"] == {"KEY": "of one"}
    for refused in (
        lambda c: c.read("apps/data/two"),
        lambda c: c.read("apps/metadata/one"),
        lambda c: c.write_data("apps/data/one", data={"data": {}}),
        lambda c: c.read("sys/policies/acl/app-one"),
        lambda c: c.auth.token.create(policies=["app-two"]),
        lambda c: c.read("auth/approle/role/secrets/role-id"),
    ):
        # A fresh token each time, so that it is the policy that refuses and not the use limit.
        fresh = client(room, (await room.issue("one"))["wrapped_token"]).sys.unwrap()["auth"]
        with pytest.raises(hvac.exceptions.Forbidden):
            refused(client(room, fresh["client_token"]))


async def test_wrapped_token_opens_once(room):
    await prepared(room, "once")
    wrapped = (await room.issue("once"))["wrapped_token"]
    client(room, wrapped).sys.unwrap()
    with pytest.raises(hvac.exceptions.VaultError):
        client(room, wrapped).sys.unwrap()


async def test_app_without_values_needs_no_token(room):
    issued = await room.issue("empty")
    assert (issued["version"], issued["wrapped_token"]) == (0, None)


async def test_name_that_is_no_app_name(room):
    with pytest.raises(Invalid):
        await room.issue("../sys")


async def test_the_service_itself_is_not_root(room):
    await prepared(room, "plain")
    for refused in (
        lambda c: c.sys.list_auth_methods(),
        lambda c: c.sys.create_or_update_acl_policy("admin", 'path "*" {capabilities=["sudo"]}'),
        lambda c: c.auth.token.create(policies=["admin"]),
        lambda c: c.auth.token.create(role_name="app", policies=["admin"]),
    ):
        with pytest.raises(hvac.exceptions.VaultError):
            refused(room.vault._client)
