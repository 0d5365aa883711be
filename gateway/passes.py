"""Signed cookies and tickets: who somebody is, and where that counts.

All are JWTs (RFC 7519) signed with Ed25519. A session is signed by auth. What the gateway makes of
it carries an audience and is good for that alone:

- `app:NAME`, a pass: its holder may act in one app;
- `door:HOST`: its holder is signed in on a host that serves apps, and nowhere else;
- `enter:HOST`, a ticket: carries a sign-in from the platform's host to `HOST`, within a minute.
"""

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jwt

from gateway.ownkey import OwnKey
from gateway.table import Table
from shared.identity import ISSUER

MAX_REMEMBERED = 20_000
TICKET_SECONDS = 60

Clock = Callable[[], float]


class Session(NamedTuple):
    """A sign-in. `begun` and `ends` in epoch seconds; `sid` is the same in all that stems from
    it. `audience` is empty for the session itself. Of a ticket, `state` ties it to a browser and
    `until` is when the sign-in it carries ends."""

    kid: str
    use: str
    audience: str
    user: str
    sid: str
    begun: float
    ends: float
    state: str
    until: float


class Passes:
    """Reads and makes them. Signatures are checked once; times and keys on every request."""

    def __init__(self, table: Table, key: OwnKey, clock: Clock = time.time) -> None:
        self._table = table
        self._key = key
        self._clock = clock
        self._known: dict[bytes, Session] = {}

    @property
    def can_make(self) -> bool:
        return self._key.signer is not None

    def session(self, cookie: bytes | None) -> Session | None:
        """The session of a cookie of the platform; None if it does not count."""
        return None if cookie is None else self._counting(cookie, "session", "")

    def read(self, cookie: bytes | None, audience: str) -> Session | None:
        """What a cookie or ticket for `audience` says; None if it does not count."""
        return None if cookie is None else self._counting(cookie, "identity", audience)

    def make(
        self, session: Session, audience: str, state: str = "", seconds: float | None = None
    ) -> bytes:
        """A value for `audience` that ends with `session`, or after `seconds` if that is sooner.

        A key must have arrived (`can_make`).
        """
        assert self._key.signer is not None
        ends = session.ends
        if seconds is not None:
            ends = min(ends, self._clock() + seconds)
        claims: dict[str, Any] = {
            "iss": ISSUER,
            "aud": audience,
            "sub": session.user,
            "sid": session.sid,
            "iat": session.begun,
            "exp": int(ends),
        }
        if state:
            claims |= {"state": state, "until": session.ends}
        return self._key.signer.sign(claims).encode()

    def _counting(self, cookie: bytes, use: str, audience: str) -> Session | None:
        session = self._known.get(cookie) or self._read(cookie)
        if session is None or session.use != use or session.audience != audience:
            return None
        return session if self._key_counts(session.kid) and session.ends > self._clock() else None

    def _key_counts(self, kid: str) -> bool:
        key = self._table.keys.get(kid)
        return key is not None and (key.not_after is None or key.not_after > self._clock())

    def _read(self, cookie: bytes) -> Session | None:
        try:
            session = self._verified(cookie.decode("ascii"))
        except (jwt.PyJWTError, UnicodeDecodeError, ValueError, TypeError):
            return None
        if session is not None:
            if len(self._known) >= MAX_REMEMBERED:
                self._known.clear()
            self._known[cookie] = session
        return session

    def _verified(self, text: str) -> Session | None:
        kid = str(jwt.get_unverified_header(text).get("kid"))
        if not self._key_counts(kid):
            return None
        key = self._table.keys[kid]
        claims = jwt.decode(
            text,
            jwt.PyJWK.from_dict(dict(key.jwk), algorithm="EdDSA").key,
            algorithms=["EdDSA"],
            # Times and audiences are judged on every request, by our own clock.
            options={
                "require": ["sub", "iat", "exp"],
                "verify_exp": False,
                "verify_iat": False,
                "verify_aud": False,
            },
        )
        return Session(
            kid=kid,
            use=key.use,
            audience=str(claims.get("aud", "")),
            user=str(claims["sub"]),
            sid=str(claims.get("sid", "")),
            begun=float(claims["iat"]),
            ends=float(claims["exp"]),
            state=str(claims.get("state", "")),
            until=float(claims.get("until", claims["exp"])),
        )
