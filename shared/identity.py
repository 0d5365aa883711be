"""Who is asking: the gateway signs it, services verify it, nobody believes a bare header.

The gateway puts `X-Moorage-Identity`, a JWT (RFC 7519) signed with Ed25519 (RFC 8037), on every
request it passes on: at most a minute old, for the audience "platform" or for one app. It carries
the caller's role on the app that the path names, so a service needs no copy of anybody's grants.
"""

import base64
import time
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from fastapi import Request

from shared.bus import Bucket
from shared.errors import Forbidden, Unauthenticated, Unavailable
from shared.names import new_id

HEADER = "X-Moorage-Identity"
ISSUER = "moorage"
PLATFORM = "platform"
LIFETIME_SECONDS = 60
LEEWAY_SECONDS = 30


class AppRole(IntEnum):
    """What somebody may do with one app; each role includes those below it."""

    NONE = 0
    VIEWER = 1
    COLLABORATOR = 2
    OWNER = 3


ROLE_NAMES = {role.name.lower(): role for role in AppRole}
_NEEDS = {
    AppRole.VIEWER: "somebody with access to it",
    AppRole.COLLABORATOR: "its owner or a collaborator",
    AppRole.OWNER: "its owner",
}


@dataclass(frozen=True)
class Caller:
    """Who is asking, and what they are to the app that the request concerns."""

    user: str
    email: str = ""
    name: str = ""
    groups: tuple[str, ...] = ()
    platform_role: str = "viewer"
    app: str | None = None
    app_role: AppRole = AppRole.NONE
    scopes: tuple[str, ...] = ("all",)

    @property
    def is_admin(self) -> bool:
        return self.platform_role == "admin"

    @property
    def may_create_apps(self) -> bool:
        return self.platform_role in ("admin", "developer")

    def require(self, role: AppRole) -> None:
        """Raise `Forbidden` unless the caller has at least `role` on the app of this request."""
        if self.is_admin or self.app_role >= role:
            return
        raise Forbidden(
            f"{self.user} may not do this with '{self.app}': it takes {_NEEDS[role]}; "
            "ask the owner for access."
        )

    def require_admin(self) -> None:
        """Raise `Forbidden` unless the caller administers the platform."""
        if not self.is_admin:
            raise Forbidden(f"{self.user} may not do this: it takes a platform administrator.")


class Signer:
    """Signs claims with one private key."""

    def __init__(self, jwk: dict[str, Any]) -> None:
        self.kid: str = jwk["kid"]
        self._key = Ed25519PrivateKey.from_private_bytes(_decode(jwk["d"]))

    def sign(self, claims: dict[str, Any]) -> str:
        return jwt.encode(claims, self._key, algorithm="EdDSA", headers={"kid": self.kid})


@dataclass
class KeyRing:
    """Public keys by their id, as the bucket `signing-keys` has them."""

    use: str
    _keys: dict[str, Ed25519PublicKey] = field(default_factory=dict[str, Ed25519PublicKey])

    def change(self, kid: str, value: dict[str, Any] | None) -> None:
        """Take in one key of the bucket; None removes it."""
        if value is None:
            self._keys.pop(kid, None)
        elif value.get("use") == self.use:
            self._keys[kid] = Ed25519PublicKey.from_public_bytes(_decode(value["jwk"]["x"]))

    def __len__(self) -> int:
        return len(self._keys)

    def verify(self, token: str, audience: str | None = None) -> dict[str, Any]:
        """The claims of a token. Raises `Unauthenticated` unless one of the keys signed it."""
        try:
            key = self._keys[jwt.get_unverified_header(token)["kid"]]
            return jwt.decode(
                token,
                key,
                algorithms=["EdDSA"],
                audience=audience,
                issuer=ISSUER,
                leeway=LEEWAY_SECONDS if audience else 0,
                options={"require": ["exp", "iat", "sub"], "verify_aud": audience is not None},
            )
        except (KeyError, ValueError, jwt.PyJWTError) as error:
            raise Unauthenticated("The sign-in is not valid any more; sign in again.") from error


class Callers:
    """A FastAPI dependency that says who the gateway says is asking."""

    def __init__(self, keys: Bucket) -> None:
        self._bucket = keys
        self._ring = KeyRing("identity")

    async def watch(self) -> None:
        """Follow the signing keys, for ever."""
        await self._bucket.watch(self._ring.change)

    async def __call__(self, request: Request) -> Caller:
        return self.verify(request.headers.get(HEADER))

    def verify(self, token: str | None) -> Caller:
        """The caller that an identity token names. Raises `Unauthenticated` or `Unavailable`."""
        if not token:
            raise Unauthenticated("Sign in, or send an API token as 'Authorization: Bearer ...'.")
        if not self._ring:
            raise Unavailable("The platform is starting and cannot verify who asks; try again.")
        return caller_of(self._ring.verify(token, PLATFORM))


def caller_of(claims: dict[str, Any]) -> Caller:
    return Caller(
        user=claims["sub"],
        email=claims.get("email", ""),
        name=claims.get("name", ""),
        groups=tuple(claims.get("groups", ())),
        platform_role=claims.get("role", "viewer"),
        app=claims.get("app"),
        app_role=ROLE_NAMES.get(claims.get("app_role", "none"), AppRole.NONE),
        scopes=tuple(claims.get("scopes", ())),
    )


def identity_claims(caller: Caller, audience: str, now: float | None = None) -> dict[str, Any]:
    """The claims the gateway signs about `caller` for `audience` ("platform" or an app's name)."""
    issued = int(time.time() if now is None else now)
    claims: dict[str, Any] = {
        "iss": ISSUER,
        "aud": audience,
        "sub": caller.user,
        "email": caller.email,
        "name": caller.name,
        "groups": list(caller.groups),
        "iat": issued,
        "exp": issued + LIFETIME_SECONDS,
    }
    if audience == PLATFORM:
        claims |= {
            "role": caller.platform_role,
            "app": caller.app,
            "app_role": caller.app_role.name.lower(),
            "scopes": list(caller.scopes),
        }
    return claims


def new_key() -> dict[str, Any]:
    """A new private Ed25519 key as a JWK (RFC 8037) with a random key id."""
    key = Ed25519PrivateKey.generate()
    public = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    return {
        "kty": "OKP",
        "crv": "Ed25519",
        "alg": "EdDSA",
        "kid": new_id(),
        "x": _encode(public),
        "d": _encode(key.private_bytes_raw()),
    }


def public_part(jwk: dict[str, Any]) -> dict[str, Any]:
    """The JWK without its private member."""
    return {name: value for name, value in jwk.items() if name != "d"}


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
