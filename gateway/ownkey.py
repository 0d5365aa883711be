"""The private key that all gateways share: what they sign identities and passes with."""

from collections.abc import Mapping
from typing import Any

from shared.identity import Signer


class OwnKey:
    """Absent until auth has made one and NATS, or the disk, has brought it."""

    def __init__(self) -> None:
        self.signer: Signer | None = None

    def use(self, jwk: Mapping[str, Any]) -> None:
        """Sign with this private JWK from now on; ValueError or KeyError if it is none."""
        self.signer = Signer(dict(jwk))
