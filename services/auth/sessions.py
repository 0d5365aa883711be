"""Sessions: a signed cookie that the gateway verifies alone.

A session counts from the moment its person was read, not from the end of the password check: a
password changed in between ends it before it began.
"""

from typing import Any

from starlette.responses import Response

from services.auth.keys import Keys
from shared.identity import ISSUER
from shared.names import new_id

COOKIE = "moorage_session"


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

    def __init__(self, keys: Keys, lifetime: float, secure: bool) -> None:
        self._keys = keys
        self._lifetime = lifetime
        self._secure = secure

    async def begin(self, response: Response, person: Any) -> None:
        """Set the cookie of a new session of `person` (a row of `store.person`)."""
        begun = max(person["read_at"], person["sessions_valid_from"])
        claims = session_claims(person["name"], begun, self._lifetime)
        signer = await self._keys.signer()
        response.set_cookie(
            COOKIE, signer.sign(claims), max_age=int(self._lifetime), **self._attributes()
        )

    def end(self, response: Response) -> None:
        """Take the cookie away."""
        response.delete_cookie(COOKIE, **self._attributes())

    def _attributes(self) -> dict[str, Any]:
        return {"path": "/", "httponly": True, "samesite": "lax", "secure": self._secure}
