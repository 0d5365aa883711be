from typing import Any

import jwt
from starlette.responses import Response

from services.auth.sessions import Sessions, session_claims
from shared.identity import Signer, new_key


class OneKey:
    """A key ring of one key."""

    def __init__(self) -> None:
        self.jwk = new_key()

    async def signer(self) -> Signer:
        return Signer(self.jwk)


def person(**changes: float) -> dict[str, Any]:
    return {"name": "ann", "read_at": 1000.25, "sessions_valid_from": 900.0, **changes}


async def begun(secure: bool, row: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    keys, response = OneKey(), Response()
    await Sessions(None, keys, 43200.0, secure).begin(response, row)  # type: ignore[arg-type]
    header = response.headers["set-cookie"]
    token = header.partition("=")[2].partition(";")[0]
    key = jwt.PyJWK.from_dict(keys.jwk, algorithm="EdDSA").key.public_key()
    options: Any = {"verify_exp": False, "verify_iat": False}
    assert jwt.get_unverified_header(token)["kid"] == keys.jwk["kid"]
    return header, jwt.decode(token, key, algorithms=["EdDSA"], options=options)


def test_the_claims_say_who_since_when_and_how_long() -> None:
    claims = session_claims("ann", 1000.25, 43200.0)
    assert claims["sub"] == "ann"
    assert claims["iat"] == 1000.25
    assert claims["exp"] == 44200
    assert len(claims["sid"]) == 32
    assert claims["sid"] != session_claims("ann", 1000.25, 43200.0)["sid"]


async def test_the_cookie_is_for_this_host_and_no_script() -> None:
    header, claims = await begun(False, person())
    assert header.startswith("moorage_session=")
    for attribute in ("HttpOnly", "SameSite=lax", "Path=/", "Max-Age=43200"):
        assert attribute in header
    assert "Secure" not in header
    assert "Domain" not in header
    assert claims["iat"] == 1000.25


async def test_over_https_the_cookie_is_secure() -> None:
    header, _ = await begun(True, person())
    assert header.startswith("__Host-moorage_session=")
    assert "Secure" in header


async def test_a_session_never_begins_before_sessions_count() -> None:
    _, claims = await begun(False, person(sessions_valid_from=1000.5))
    assert claims["iat"] == 1000.5
