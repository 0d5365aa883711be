"""People come, change and go; whoever is shut out is out at once."""

from typing import Any

import jwt

from services.auth.tokens import digest


async def begun(auth: Any, user: str, password: str = "correct horse") -> float:
    """When a new session of this user began, as its cookie says."""
    answer = await auth.sign_in(user, password)
    assert answer.status_code == 303, answer.text
    token = answer.cookies["moorage_session"]
    return jwt.decode(token, options={"verify_signature": False})["iat"]


async def token_of(auth: Any, user: str) -> str:
    made = await auth.call("POST", "/tokens", await auth.identity(user), {"name": "x"})
    key = digest(made.json()["token"])
    await auth.bucket("tokens", key)
    return key


async def test_a_person_is_added_and_known_to_the_gateway(auth: Any) -> None:
    await auth.add("ann", email="ann@x.org", name="Ann B", role="developer", groups=["b", "a"])
    person = await auth.bucket("people", "ann")
    assert person.pop("sessions_valid_from") > 0
    assert person == {
        "user": "ann",
        "email": "ann@x.org",
        "name": "Ann B",
        "role": "developer",
        "groups": ["a", "b"],
        "active": True,
    }
    listed = (await auth.call("GET", "/users", await auth.admin())).json()
    assert [row["user"] for row in listed] == ["admin", "ann"]
    assert "argon2" not in str(listed)


async def test_bad_people_are_refused(auth: Any) -> None:
    who = await auth.admin()
    good = {"user": "ann", "password": "correct horse"}
    for change in (
        {"user": "Ann"},
        {"user": "a\x00"},
        {"password": "short"},
        {"email": "nope"},
        {"name": "a\nb"},
        {"role": "king"},
        {"groups": ["a,b"]},
        {"admin": True},
    ):
        answer = await auth.call("POST", "/users", who, good | change)
        assert answer.status_code == 400, change
    assert (await auth.call("POST", "/users", who, good)).status_code == 201
    assert (await auth.call("POST", "/users", who, good)).status_code == 409
    ann = await auth.identity("ann")
    assert (await auth.call("POST", "/users", ann, good)).status_code == 403
    assert (await auth.call("GET", "/users", ann)).status_code == 403


async def test_deactivation_ends_sessions_and_tokens_for_good(auth: Any) -> None:
    await auth.add("ann")
    old, token = await begun(auth, "ann"), await token_of(auth, "ann")
    who = await auth.admin()
    answer = await auth.call("PATCH", "/users/ann", who, {"active": False})
    assert answer.json()["active"] is False
    await auth.bucket_becomes("people", "ann", lambda person: not person["active"])
    await auth.bucket_becomes("tokens", token, lambda value: value is None)
    refused = await auth.sign_in("ann", "correct horse")
    assert refused.status_code == 403
    assert "switched off" in refused.text
    made = await auth.call("POST", "/tokens", await auth.identity("ann"), {"name": "late"})
    assert made.status_code == 404

    await auth.call("PATCH", "/users/ann", who, {"active": True})
    person = await auth.bucket_becomes("people", "ann", lambda found: found["active"])
    assert person["sessions_valid_from"] > old
    assert await begun(auth, "ann") >= person["sessions_valid_from"]


async def test_deletion_ends_all_and_a_namesake_inherits_nothing(auth: Any) -> None:
    await auth.add("ann")
    old, token = await begun(auth, "ann"), await token_of(auth, "ann")
    who = await auth.admin()
    assert (await auth.call("DELETE", "/users/ann", who)).status_code == 204
    await auth.bucket_becomes("people", "ann", lambda person: person is None)
    await auth.bucket_becomes("tokens", token, lambda value: value is None)
    assert (await auth.call("DELETE", "/users/ann", who)).status_code == 404

    await auth.add("ann")
    person = await auth.bucket("people", "ann")
    assert person["sessions_valid_from"] > old


async def test_the_last_administrator_stays(auth: Any) -> None:
    who = await auth.admin()
    for change in ({"active": False}, {"role": "viewer"}):
        answer = await auth.call("PATCH", "/users/admin", who, change)
        assert answer.status_code == 409
        assert "only administrator" in answer.json()["detail"]
    assert (await auth.call("DELETE", "/users/admin", who)).status_code == 409
    await auth.add("ann", role="admin")
    assert (await auth.call("PATCH", "/users/admin", who, {"role": "viewer"})).status_code == 200


async def test_one_changes_ones_own_password_with_the_old_one(auth: Any) -> None:
    await auth.add("ann")
    old = await begun(auth, "ann")
    ann = await auth.identity("ann")
    wrong = await auth.call("POST", "/password", ann, {"old": "wrong", "new": "battery staple"})
    assert wrong.status_code == 401
    weak = await auth.call("POST", "/password", ann, {"old": "correct horse", "new": "short"})
    assert weak.status_code == 400
    done = await auth.call(
        "POST", "/password", ann, {"old": "correct horse", "new": "battery staple"}
    )
    assert done.status_code == 204
    assert (await auth.sign_in("ann", "correct horse")).status_code == 401
    new = await begun(auth, "ann", "battery staple")
    person = await auth.bucket_becomes(
        "people", "ann", lambda found: found["sessions_valid_from"] > old
    )
    assert new >= person["sessions_valid_from"]


async def test_an_administrator_sets_a_password(auth: Any) -> None:
    await auth.add("ann")
    body = {"password": "battery staple"}
    answer = await auth.call("PATCH", "/users/ann", await auth.admin(), body)
    assert answer.status_code == 200
    assert "battery" not in answer.text
    await begun(auth, "ann", "battery staple")
