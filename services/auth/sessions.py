"""Sessions: a signed cookie that the gateway verifies alone, and the list of those ended early.

A session counts from the moment its person was read, not from the end of the password check: a
password changed in between ends it before it began.
"""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from services.auth import store
from services.auth.keys import Keys
from shared.database import Database
from shared.identity import ISSUER
from shared.names import new_id

COOKIE = "moorage_session"
SECURE_COOKIE = f"__Host-{COOKIE}"
"""Over https: browsers take it from this very host only, for all its paths (RFC 6265bis, 4.1.3)."""


def session_claims(user: str, begun: float, lifetime: float) -> dict[str, Any]:
    """The claims of a session cookie (RFC 7519); times in seconds, `iat` with its fraction."""
    return {
        "iss": ISSUER,
        "sub": user,
        "sid": new_id(),
        "iat": begun,
        "exp": int(begun + lifetime),
    }


class Sessions:
    """Begins and ends sessions in browsers."""

    def __init__(self, database: Database, keys: Keys, lifetime: float, secure: bool) -> None:
        self._database = database
        self._keys = keys
        self._lifetime = lifetime
        self._secure = secure
        self.cookie = SECURE_COOKIE if secure else COOKIE

    async def begin(self, response: Response, person: Any) -> None:
        """Set the cookie of a new session of `person` (a row of `store.person`)."""
        begun = max(person["read_at"], person["sessions_valid_from"])
        claims = session_claims(person["name"], begun, self._lifetime)
        signer = await self._keys.signer()
        response.set_cookie(
            self.cookie, signer.sign(claims), max_age=int(self._lifetime), **self._attributes()
        )

    async def end(self, request: Request, response: Response) -> None:
        """Take the cookie away, and what any copy of it is worth. Raises `Unavailable`."""
        claims = await self._keys.session_claims(request.cookies.get(self.cookie, ""))
        if claims is not None:
            await store.end_session(self._database, claims["sid"], float(claims["exp"]))
        response.delete_cookie(self.cookie, **self._attributes())

    def _attributes(self) -> dict[str, Any]:
        return {"path": "/", "httponly": True, "samesite": "lax", "secure": self._secure}
