"""Who is asking, found without asking anyone, and how targets are told."""

import hashlib
import time
from collections.abc import Callable
from typing import NamedTuple
from urllib.parse import quote

from gateway.ownkey import OwnKey
from gateway.passes import Session
from gateway.table import Person, Table
from shared.identity import AppRole, Caller, identity_claims

REUSE_SECONDS = 30
"""How long one signed identity is sent; it is good for a minute."""

Clock = Callable[[], float]


class Visitor(NamedTuple):
    """Somebody known. `scopes` is None for a session, which may do what its person may.

    `until` is when the session or token ends, in epoch seconds.
    """

    person: Person
    scopes: frozenset[str] | None
    token_id: str
    until: float

    def has_scope(self, scope: str) -> bool:
        """Whether the token allows "open", "read" or "write"; who may write may read."""
        if self.scopes is None or "all" in self.scopes or scope in self.scopes:
            return True
        return scope == "read" and "write" in self.scopes


class Visitors:
    """Finds the person behind a sign-in or a token."""

    def __init__(self, table: Table, clock: Clock = time.time) -> None:
        self._table = table
        self._clock = clock

    def by_session(self, session: Session | None) -> Visitor | None:
        """The visitor of a sign-in, None if it was ended or the person is not there any more."""
        if session is None or session.sid in self._table.ended:
            return None
        person = self._table.people.get(session.user)
        if person is None or not person.active or session.begun < person.sessions_valid_from:
            return None
        return Visitor(person, None, "", session.ends)

    def by_token(self, token: bytes) -> Visitor | None:
        """The visitor of an API token, None if it is unknown or expired."""
        known = self._table.tokens.get(hashlib.sha256(token).hexdigest())
        if known is None or (known.expires is not None and known.expires <= self._clock()):
            return None
        person = self._table.people.get(known.user)
        if person is None or not person.active:
            return None
        until = float("inf") if known.expires is None else known.expires
        return Visitor(person, known.scopes, known.id, until)


class IdentityHeaders:
    """The header lines that tell a target who is asking, signed with the gateways' own key."""

    def __init__(self, key: OwnKey, clock: Clock = time.time) -> None:
        self._key = key
        self._clock = clock

    def lines(self, visitor: Visitor, audience: str, app: str, role: AppRole) -> bytes:
        """Header lines for a target, each with its CRLF; to be used for `REUSE_SECONDS`."""
        person = visitor.person
        lines = [
            "X-Moorage-User: " + _plain(person.user),
            "X-Moorage-Email: " + _plain(person.email),
            "X-Moorage-Groups: " + ",".join(_plain(group) for group in person.groups),
        ]
        if self._key.signer is not None:
            claims = identity_claims(_caller(visitor, app, role), audience, self._clock())
            lines.append("X-Moorage-Identity: " + self._key.signer.sign(claims))
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
