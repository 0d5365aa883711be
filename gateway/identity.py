"""Who is asking, found without asking anyone, and how targets are told.

Sessions and tokens are checked against the table on every request; only what cannot change (a
signature, a hash) is remembered.
"""

import hashlib
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple
from urllib.parse import quote

import jwt

from gateway.table import Person, Table
from shared.identity import AppRole, Caller, Signer, identity_claims

MAX_REMEMBERED = 20_000
REUSE_SECONDS = 30

Clock = Callable[[], float]


class Visitor(NamedTuple):
    """Somebody known. `scopes` is None for a session, which may do what its person may."""

    person: Person
    scopes: frozenset[str] | None
    token_id: str

    def has_scope(self, scope: str) -> bool:
        """Whether the token allows "open", "read" or "write"; who may write may read."""
        if self.scopes is None or "all" in self.scopes or scope in self.scopes:
            return True
        return scope == "read" and "write" in self.scopes


class _Session(NamedTuple):
    kid: str
    user: str
    begun: float
    ends: float


class Visitors:
    """Finds the person behind a session cookie or a token."""

    def __init__(self, table: Table, clock: Clock = time.time) -> None:
        self._table = table
        self._clock = clock
        self._sessions: dict[bytes, _Session] = {}

    def by_session(self, cookie: bytes) -> Visitor | None:
        """The visitor of a session cookie, None if it does not count (any more)."""
        session = self._sessions.get(cookie) or self._read(cookie)
        if session is None or not self._key_counts(session.kid) or session.ends <= self._clock():
            return None
        person = self._table.people.get(session.user)
        if person is None or not person.active or session.begun < person.sessions_valid_from:
            return None
        return Visitor(person, None, "")

    def by_token(self, token: bytes) -> Visitor | None:
        """The visitor of an API token, None if it is unknown or expired."""
        known = self._table.tokens.get(hashlib.sha256(token).hexdigest())
        if known is None or (known.expires is not None and known.expires <= self._clock()):
            return None
        person = self._table.people.get(known.user)
        if person is None or not person.active:
            return None
        return Visitor(person, known.scopes, known.id)

    def _key_counts(self, kid: str) -> bool:
        key = self._table.keys.get(kid)
        if key is None or key.use != "session":
            return False
        return key.not_after is None or key.not_after > self._clock()

    def _read(self, cookie: bytes) -> _Session | None:
        try:
            session = self._verified(cookie.decode("ascii"))
        except (jwt.PyJWTError, UnicodeDecodeError, ValueError, TypeError):
            return None
        if session is not None:
            if len(self._sessions) >= MAX_REMEMBERED:
                self._sessions.clear()
            self._sessions[cookie] = session
        return session

    def _verified(self, text: str) -> _Session | None:
        kid = str(jwt.get_unverified_header(text).get("kid"))
        if not self._key_counts(kid):
            return None
        claims = jwt.decode(
            text,
            jwt.PyJWK.from_dict(dict(self._table.keys[kid].jwk), algorithm="EdDSA").key,
            algorithms=["EdDSA"],
            # Times are judged by our own clock, on every request.
            options={
                "require": ["sub", "iat", "exp"],
                "verify_exp": False,
                "verify_iat": False,
                "verify_aud": False,
            },
        )
        return _Session(kid, str(claims["sub"]), float(claims["iat"]), float(claims["exp"]))


class IdentityHeaders:
    """The header lines that tell a target who is asking, signed with the gateway's own key."""

    def __init__(self, clock: Clock = time.time) -> None:
        self._clock = clock
        self._signer: Signer | None = None
        self._ready: dict[tuple[object, ...], tuple[float, bytes]] = {}

    @property
    def has_key(self) -> bool:
        return self._signer is not None

    def use_key(self, jwk: Mapping[str, Any]) -> None:
        """Sign with this private JWK from now on; ValueError or KeyError if it is none."""
        self._signer = Signer(dict(jwk))
        self._ready.clear()

    def lines(self, visitor: Visitor, audience: str, app: str, role: AppRole) -> bytes:
        """Header lines for a target, each with its CRLF; signed anew every half minute."""
        wanted = (visitor, audience, app, role)
        now = self._clock()
        known = self._ready.get(wanted)
        if known is not None and 0 <= now - known[0] < REUSE_SECONDS:
            return known[1]
        lines = self._made(visitor, audience, app, role, now)
        if len(self._ready) >= MAX_REMEMBERED:
            self._ready.clear()
        self._ready[wanted] = now, lines
        return lines

    def _made(self, visitor: Visitor, audience: str, app: str, role: AppRole, now: float) -> bytes:
        person = visitor.person
        lines = [
            "X-Moorage-User: " + _plain(person.user),
            "X-Moorage-Email: " + _plain(person.email),
            "X-Moorage-Groups: " + ",".join(_plain(group) for group in person.groups),
        ]
        if self._signer is not None:
            claims = identity_claims(_caller(visitor, app, role), audience, now)
            lines.append("X-Moorage-Identity: " + self._signer.sign(claims))
        return "".join(line + "\r\n" for line in lines).encode("ascii")


def _caller(visitor: Visitor, app: str, role: AppRole) -> Caller:
    person = visitor.person
    return Caller(
        user=person.user,
        email=person.email,
        name=person.name,
        groups=person.groups,
        platform_role=person.role,
        app=app or None,
        app_role=role,
        scopes=("all",) if visitor.scopes is None else tuple(sorted(visitor.scopes)),
    )


def _plain(text: str) -> str:
    """Printable ASCII without commas; anything else percent-encoded."""
    return quote(text, safe="!#$&'()*+./:;<=>?@[]^_`{|}~- ")
