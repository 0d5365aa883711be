"""Sessions, tokens and the signed identity."""

import hashlib
from collections.abc import Callable
from typing import Any

import jwt
import pytest

from gateway.identity import IdentityHeaders, Visitor, Visitors
from gateway.ownkey import OwnKey
from gateway.passes import Passes
from gateway.table import Person, Table
from shared.identity import AppRole, KeyRing, Signer, caller_of, new_key, public_part

NOW = 1_800_000_000.0
FOREVER = float("inf")
ANN = Person("ann", "ann@example.org", "Ann Ä", "developer", ("data", "a,b"), True, 0)


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def key() -> dict[str, Any]:
    return new_key()


@pytest.fixture
def table(key: dict[str, Any]) -> Table:
    made = Table()
    made.people["ann"] = ANN
    set_key(made, key)
    return made


def set_key(table: Table, key: dict[str, Any], use: str = "session", end: Any = None) -> None:
    document = {"kid": key["kid"], "use": use, "jwk": public_part(key), "not_after": end}
    table.set("signing-keys", key["kid"], document)


def cookie(key: dict[str, Any], **more: Any) -> bytes:
    claims = {"sub": "ann", "sid": "1", "iat": int(NOW), "exp": int(NOW) + 100}
    return Signer(key).sign(claims | more).encode()


def sessions(table: Table, clock: Clock) -> Callable[[bytes], Visitor | None]:
    passes, visitors = Passes(table, OwnKey(), clock), Visitors(table, clock)
    return lambda cookie: visitors.by_session(passes.session(cookie))


def test_session(table: Table, key: dict[str, Any], clock: Clock) -> None:
    by_session = sessions(table, clock)
    good = cookie(key)
    for _ in range(2):
        visitor = by_session(good)
        assert visitor is not None
        assert visitor.person == ANN
    clock.now += 101
    assert by_session(good) is None


def test_remembered_session_ends_with_person_key_or_sign_out(
    table: Table, key: dict[str, Any], clock: Clock
) -> None:
    by_session = sessions(table, clock)
    good = cookie(key)
    assert by_session(good)
    set_key(table, key, end=NOW - 1)
    assert by_session(good) is None
    table.delete("signing-keys", key["kid"])
    assert by_session(good) is None
    set_key(table, key)
    document = {"user": "ann", "role": "viewer", "active": True, "sessions_valid_from": NOW + 1}
    table.set("people", "ann", document)
    assert by_session(good) is None
    table.set("people", "ann", document | {"sessions_valid_from": NOW})
    assert by_session(good)
    table.set("people", "ann", document | {"active": False, "sessions_valid_from": 0})
    assert by_session(good) is None
    table.set("people", "ann", document | {"sessions_valid_from": 0})
    assert by_session(good)
    table.set("ended-sessions", "1", {"ends": NOW + 100})
    assert by_session(good) is None


def test_forged_sessions(table: Table, key: dict[str, Any], clock: Clock) -> None:
    by_session = sessions(table, clock)
    other = new_key() | {"kid": key["kid"]}
    claims = {"sub": "ann", "iat": int(NOW), "exp": int(NOW) + 100}
    unsigned = jwt.encode(claims, None, algorithm="none", headers={"kid": key["kid"]})
    shared = jwt.encode(claims, key["x"] * 2, algorithm="HS256", headers={"kid": key["kid"]})
    good = cookie(key)
    for bad in (
        cookie(other),
        cookie(new_key()),
        unsigned.encode(),
        shared.encode(),
        good[:-4] + b"AAAA",
        b"",
        b"\xff",
        b"a.b.c",
        cookie(key, sub="nobody"),
        cookie(key, exp=int(NOW) - 1),
    ):
        assert by_session(bad) is None, bad
    set_key(table, key, use="identity")
    assert by_session(good) is None


def test_tokens(table: Table, clock: Clock) -> None:
    visitors = Visitors(table, clock)
    name = hashlib.sha256(b"mrg_x").hexdigest()
    document = {"id": "7", "user": "ann", "scopes": ["read"], "expires": NOW + 10}
    table.set("tokens", name, document)
    visitor = visitors.by_token(b"mrg_x")
    assert visitor is not None
    assert visitor.scopes == {"read"}
    assert visitors.by_token(b"mrg_y") is None
    clock.now += 10
    assert visitors.by_token(b"mrg_x") is None
    clock.now -= 10
    table.set("tokens", name, document | {"user": "gone"})
    assert visitors.by_token(b"mrg_x") is None


def test_scopes() -> None:
    def may(*scopes: str) -> list[bool]:
        visitor = Visitor(ANN, frozenset(scopes), "1", FOREVER)
        return [visitor.has_scope(scope) for scope in ("open", "read", "write")]

    assert may("all") == [True, True, True]
    assert may("open") == [True, False, False]
    assert may("read") == [False, True, False]
    assert may("write") == [False, True, True]
    assert Visitor(ANN, None, "", FOREVER).has_scope("write")


def test_identity_headers(clock: Clock, key: dict[str, Any]) -> None:
    own = OwnKey()
    headers = IdentityHeaders(own, clock)
    visitor = Visitor(ANN, None, "", FOREVER)
    unsigned = headers.lines(visitor, "a", "a", AppRole.VIEWER)
    assert b"X-Moorage-Identity" not in unsigned
    own.use(key)
    lines = headers.lines(visitor, "a", "a", AppRole.VIEWER)
    assert lines.startswith(
        b"X-Moorage-User: ann\r\nX-Moorage-Email: ann@example.org\r\n"
        b"X-Moorage-Groups: data,a%2Cb\r\nX-Moorage-Identity: "
    )
    clock.now += 31
    assert headers.lines(visitor, "a", "a", AppRole.VIEWER) != lines
    assert headers.lines(visitor, "b", "b", AppRole.VIEWER) != lines


def test_services_read_what_the_gateway_signs(key: dict[str, Any]) -> None:
    own = OwnKey()
    own.use(key)
    headers = IdentityHeaders(own)
    visitor = Visitor(ANN, frozenset(("write",)), "1", FOREVER)
    lines = headers.lines(visitor, "platform", "sales", AppRole.COLLABORATOR)
    token = lines.split(b"X-Moorage-Identity: ")[1].strip().decode()
    ring = KeyRing("identity")
    ring.change(key["kid"], {"kid": key["kid"], "use": "identity", "jwk": public_part(key)})
    caller = caller_of(ring.verify(token, "platform"))
    assert (caller.user, caller.app, caller.app_role) == ("ann", "sales", AppRole.COLLABORATOR)
    assert caller.platform_role == "developer"
    assert caller.scopes == ("write",)


def test_header_values_cannot_break_lines(key: dict[str, Any]) -> None:
    hostile = Person("eve\r\nX-Moorage-User: admin", "ü@x", "", "viewer", ("g\n",), True, 0)
    lines = IdentityHeaders(OwnKey()).lines(
        Visitor(hostile, None, "", FOREVER), "a", "a", AppRole.NONE
    )
    assert lines.count(b"\r\n") == 3
    assert lines.count(b"\n") == 3
