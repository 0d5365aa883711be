"""The life of an API token."""

from typing import Any

from services.auth.tokens import digest


async def test_a_token_is_made_listed_and_revoked(auth: Any) -> None:
    await auth.add("ann")
    ann = await auth.identity("ann")
    made = await auth.call(
        "POST", "/tokens", ann, {"name": "ci", "scopes": ["write", "read"], "days": 7}
    )
    assert made.status_code == 201
    token = made.json()["token"]
    assert made.headers["cache-control"] == "no-store"
    known = await auth.bucket("tokens", digest(token))
    assert known["scopes"] == ["read", "write"]
    assert known["expires"] is not None
    assert token not in str(await auth.database.fetch("select * from tokens"))

    (listed,) = (await auth.call("GET", "/tokens", ann)).json()
    assert listed["last_four"] == token[-4:]
    assert "token" not in listed

    await auth.add("bob")
    bob = await auth.identity("bob")
    assert (await auth.call("DELETE", f"/tokens/{listed['id']}", bob)).status_code == 404
    assert (await auth.call("DELETE", f"/tokens/{listed['id']}", ann)).status_code == 204
    await auth.bucket_becomes("tokens", digest(token), lambda value: value is None)
    assert (await auth.call("DELETE", f"/tokens/{listed['id']}", ann)).status_code == 404


async def test_an_expired_token_leaves_the_bucket(auth: Any) -> None:
    made = await auth.call("POST", "/tokens", await auth.admin(), {"name": "short", "days": 1})
    key = digest(made.json()["token"])
    await auth.bucket("tokens", key)
    await auth.database.execute(
        "update tokens set expires_at = now() + interval '1 second' where digest = $1", key
    )
    await auth.bucket_becomes("tokens", key, lambda value: value is None)


async def test_a_token_makes_none_that_may_do_more(auth: Any) -> None:
    narrow = await auth.identity("admin", "admin", scopes=("write",))
    more = await auth.call("POST", "/tokens", narrow, {"name": "x", "scopes": ["all"]})
    assert more.status_code == 403
    same = await auth.call("POST", "/tokens", narrow, {"name": "x", "scopes": ["read"]})
    assert same.status_code == 201
    people = await auth.call("POST", "/users", narrow, {"user": "eve", "password": "0123456789"})
    assert people.status_code == 403


async def test_bad_tokens_are_refused_in_one_sentence(auth: Any) -> None:
    who = await auth.admin()
    for body in (
        {"name": ""},
        {"name": "two\nlines"},
        {"name": "x", "scopes": []},
        {"name": "x", "scopes": ["root"]},
        {"name": "x", "days": 0},
        {"name": "x", "days": 10**9},
        {"name": "x", "dayz": 3},
    ):
        answer = await auth.call("POST", "/tokens", who, body)
        assert answer.status_code == 400, body
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["detail"].endswith(".")


async def test_without_an_identity_nothing_is_told(auth: Any) -> None:
    await auth.admin()
    for path in ("/whoami", "/tokens", "/users", "/apps/sales/access"):
        assert (await auth.call("GET", path, {})).status_code == 401


async def test_whoami_says_what_the_gateway_says(auth: Any) -> None:
    who = await auth.identity("ann", "developer", email="ann@x.org", groups=("sales",))
    answer = await auth.call("GET", "/whoami", who)
    assert answer.json() == {
        "user": "ann",
        "email": "ann@x.org",
        "name": "",
        "role": "developer",
        "groups": ["sales"],
        "scopes": ["all"],
    }
