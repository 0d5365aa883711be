"""Signing in with a browser and with the CLI, and what the gateway can make of it."""

import asyncio
import time
from typing import Any

import httpx
import pytest

from services.auth import store
from services.auth.attempts import FREE
from services.auth.keys import Keys
from services.auth.sealing import Seal
from services.auth.tokens import digest
from shared.errors import Unauthenticated
from shared.identity import KeyRing


def cookie(answer: httpx.Response) -> str:
    return answer.cookies["moorage_session"]


async def ring(auth: Any) -> KeyRing:
    """The session keys that the gateway knows."""
    await auth.bucket("gateway-keys", "identity")
    keys = KeyRing("session")
    for kid, value in (await auth.gateway.bucket("signing-keys").items()).items():
        keys.change(kid, value)
    return keys


async def test_the_page_then_the_cookie_that_a_published_key_verifies(auth: Any) -> None:
    page = await auth.http.get("/-/auth/login", params={"next": "/sales/"})
    assert page.status_code == 200
    assert 'value="/sales/"' in page.text

    answer = await auth.sign_in("admin", auth.admin_password, next="/sales/?a=1")
    assert answer.status_code == 303
    assert answer.headers["location"] == "/sales/?a=1"
    claims = (await ring(auth)).verify(cookie(answer))
    assert claims["sub"] == "admin"
    person = await auth.bucket("people", "admin")
    assert claims["iat"] >= person["sessions_valid_from"]


async def test_a_link_to_another_host_is_not_followed(auth: Any) -> None:
    for link in ("//evil.example", "/\\evil.example", "https://evil.example"):
        answer = await auth.sign_in("admin", auth.admin_password, next=link)
        assert answer.headers["location"] == "/"


async def test_a_wrong_password_and_an_unknown_user_look_the_same(auth: Any) -> None:
    await auth.add("ann-b")
    wrong = await auth.sign_in("ann-b", "wrong password")
    unknown = await auth.sign_in("nobody", "wrong password")
    empty = await auth.sign_in("ann-b", "")
    assert wrong.status_code == unknown.status_code == empty.status_code == 401
    assert wrong.text.replace("ann-b", "nobody") == unknown.text
    assert "The user name or the password is wrong." in wrong.text
    assert "set-cookie" not in wrong.headers


async def test_somebody_signed_in_is_led_on(auth: Any) -> None:
    who = await auth.identity("admin", "admin")

    async def look() -> int:
        answer = await auth.http.get("/-/auth/login?next=/x/", headers=who)
        return answer.status_code

    deadline = time.monotonic() + 10
    while await look() != 303:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


async def test_signing_out_takes_the_cookie_away(auth: Any) -> None:
    answer = await auth.http.post("/-/auth/logout")
    assert answer.status_code == 303
    assert "Max-Age=0" in answer.headers["set-cookie"]
    assert "signed out" in (await auth.http.get(answer.headers["location"])).text


async def test_signing_out_ends_the_session_for_whoever_copied_the_cookie(auth: Any) -> None:
    session = cookie(await auth.sign_in("admin", auth.admin_password))
    claims = (await ring(auth)).verify(session)
    for said in ("junk", session, session):
        headers = {"Cookie": f"moorage_session={said}"}
        assert (await auth.http.post("/-/auth/logout", headers=headers)).status_code == 303
    ended = await auth.bucket("ended-sessions", claims["sid"])
    assert ended == {"ends": claims["exp"]}


async def test_a_form_of_another_site_is_refused(auth: Any) -> None:
    form = {"username": "admin", "password": auth.admin_password}
    for path in ("/-/auth/login", "/-/auth/logout"):
        answer = await auth.http.post(path, data=form, headers={"Sec-Fetch-Site": "cross-site"})
        assert answer.status_code == 403
        assert "set-cookie" not in answer.headers


async def test_the_style_of_the_page_is_served(auth: Any) -> None:
    page = (await auth.http.get("/-/auth/login")).text
    path = page.partition('<link rel="stylesheet" href="')[2].partition('"')[0]
    answer = await auth.http.get(path)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/css")


async def test_the_cli_gets_a_token_that_the_gateway_knows(auth: Any) -> None:
    body = {"username": "admin", "password": auth.admin_password, "name": "laptop"}
    answer = await auth.call("POST", "/login", {}, body)
    assert answer.status_code == 200
    made = answer.json()
    assert made["name"] == "laptop"
    assert made["expires"] is not None
    known = await auth.bucket("tokens", digest(made["token"]))
    assert known["user"] == "admin"
    assert known["scopes"] == ["all"]

    forever = await auth.call("POST", "/login", {}, body | {"days": None})
    assert forever.json()["expires"] is None
    wrong = await auth.call("POST", "/login", {}, body | {"password": "x"})
    assert wrong.status_code == 401
    assert auth.admin_password not in wrong.text


async def test_a_guesser_waits_and_the_user_elsewhere_does_not(auth: Any) -> None:
    for _ in range(FREE):
        assert (await auth.sign_in("admin", "guess", "192.0.2.9")).status_code == 401
    refused = await auth.sign_in("admin", auth.admin_password, "192.0.2.9")
    assert refused.status_code == 429
    assert refused.headers["retry-after"] == "1"
    assert "wait 1 second" in refused.text
    assert (await auth.sign_in("admin", auth.admin_password, "192.0.2.10")).status_code == 303


async def test_guesses_sent_at_once_gain_nothing(auth: Any) -> None:
    answers = await asyncio.gather(
        *(auth.sign_in("admin", f"guess {i}", "192.0.2.9") for i in range(3 * FREE))
    )
    codes = [answer.status_code for answer in answers]
    assert codes.count(429) >= 2 * FREE - 1, codes


async def test_a_right_password_clears_the_failures(auth: Any) -> None:
    for _ in range(2):
        for _ in range(FREE - 1):
            assert (await auth.sign_in("admin", "guess")).status_code == 401
        assert (await auth.sign_in("admin", auth.admin_password)).status_code == 303


async def test_odd_input_is_refused_and_breaks_nothing(auth: Any) -> None:
    for user, password in (("a\x00b", "x"), ("x" * 5000, "y"), ("admin", "z" * 200_000)):
        assert (await auth.sign_in(user, password)).status_code == 401
    surrogate = b'{"username": "admin", "password": "\\ud800"}'
    kind = {"content-type": "application/json"}
    answer = await auth.http.post("/-/api/v1/login", content=surrogate, headers=kind)
    assert answer.status_code == 401
    huge = await auth.http.post("/-/api/v1/login", content=b"x" * 1_000_000, headers=kind)
    assert huge.status_code == 400
    assert "256 KiB" in huge.json()["detail"]


async def test_rotation_keeps_old_cookies_valid(auth: Any) -> None:
    old = cookie(await auth.sign_in("admin", auth.admin_password))
    first = (await store.current_key(auth.database, "session"))["kid"]
    await auth.keys.rotate("session", lead=0.0)
    second = (await store.current_key(auth.database, "session"))["kid"]
    assert second != first
    published = await auth.bucket("signing-keys", second)
    assert "d" not in published["jwk"]

    new = cookie(await auth.sign_in("admin", auth.admin_password))
    keys = await ring(auth)
    assert keys.verify(old)["sub"] == keys.verify(new)["sub"] == "admin"
    retired = await auth.bucket_becomes("signing-keys", first, lambda key: bool(key["not_after"]))
    assert retired["not_after"] >= keys.verify(old)["exp"]


async def test_a_key_is_published_before_it_signs_and_goes_when_it_is_spent(auth: Any) -> None:
    first = (await store.current_key(auth.database, "session"))["kid"]
    await auth.database.execute("update signing_keys set signs_from = now() - interval '31 days'")
    await auth.keys.ensure()
    assert (await store.current_key(auth.database, "session"))["kid"] == first
    assert len(await store.keys(auth.database)) == 4
    await auth.keys.ensure()
    assert len(await store.keys(auth.database)) == 4

    await auth.bucket("signing-keys", first)
    await auth.database.execute(
        "update signing_keys set not_after = now() - interval '1 second' where kid = $1", first
    )
    await auth.keys.ensure()
    await auth.bucket_becomes("signing-keys", first, lambda key: key is None)


async def test_two_processes_agree_on_one_key(auth: Any) -> None:
    await auth.database.execute("delete from signing_keys")
    await asyncio.gather(*(auth.keys.ensure() for _ in range(4)))
    uses = sorted(row["use"] for row in await store.keys(auth.database))
    assert uses == ["identity", "session"]


async def test_private_keys_are_sealed_and_the_jwks_shows_public_ones(auth: Any) -> None:
    private = await auth.bucket("gateway-keys", "identity")
    row = await auth.database.fetchrow("select * from signing_keys where kid = $1", private["kid"])
    assert private["d"] not in str(dict(row))
    published = (await auth.http.get("/-/auth/jwks.json")).json()
    assert [key["kid"] for key in published["keys"]] == [private["kid"]]
    assert "d" not in published["keys"][0]


async def test_a_session_key_does_not_sign_identities(auth: Any) -> None:
    session = cookie(await auth.sign_in("admin", auth.admin_password))
    answer = await auth.call("GET", "/whoami", {"X-Moorage-Identity": session})
    assert answer.status_code in (401, 503)
    with pytest.raises(Unauthenticated):
        KeyRing("identity").verify(session)


async def test_a_sign_in_waits_for_a_password_change_under_way(auth: Any) -> None:
    await auth.add("ann")
    async with auth.database.transaction() as tx:
        await store.lock_person(tx, "ann")
        trying = asyncio.create_task(auth.sign_in("ann", "correct horse"))
        done, _ = await asyncio.wait({trying}, timeout=0.3)
        assert not done
        await store.set_password(tx, "ann", "no hash of anything")
    assert (await trying).status_code == 401


async def test_another_key_file_is_noticed_before_anything_is_signed(auth: Any) -> None:
    stranger = Keys(auth.database, Seal(b"x" * 32), 1000.0, 1000.0)
    with pytest.raises(RuntimeError, match="MOORAGE_AUTH_KEY_FILE"):
        await stranger.ensure()
