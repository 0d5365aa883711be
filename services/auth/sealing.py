"""Private keys at rest: sealed with AES-256-GCM (NIST SP 800-38D) under a key outside the database.

Form: 12 bytes nonce, then ciphertext with its 16 bytes tag. The key's id is authenticated with it,
so that one row's secret cannot be put into another row.
"""

import os
from pathlib import Path
from typing import Any

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

NONCE_BYTES = 12
KEY_BYTES = 32


class Seal:
    """Closes and opens private JWKs."""

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)

    @classmethod
    def from_file(cls, path: Path) -> "Seal":
        """The seal of a key file. Raises `RuntimeError` saying what is wrong with the file."""
        try:
            key = bytes.fromhex(path.read_text(encoding="ascii").strip())
        except (OSError, ValueError) as error:
            raise RuntimeError(f"The key file {path} cannot be read ({error}).") from error
        if len(key) != KEY_BYTES:
            raise RuntimeError(
                f"The key file {path} must hold {KEY_BYTES} bytes as {2 * KEY_BYTES} hexadecimal "
                "digits."
            )
        return cls(key)

    def close(self, jwk: dict[str, Any]) -> bytes:
        nonce = os.urandom(NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, orjson.dumps(jwk), jwk["kid"].encode())

    def open(self, kid: str, sealed: bytes) -> dict[str, Any]:
        """The private JWK. Raises `RuntimeError` when another key had sealed it."""
        nonce, ciphertext = sealed[:NONCE_BYTES], sealed[NONCE_BYTES:]
        try:
            return orjson.loads(self._cipher.decrypt(nonce, ciphertext, kid.encode()))
        except InvalidTag as error:
            raise RuntimeError(
                "The key file does not open the signing keys in the database: put back the file "
                "that was used before (MOORAGE_AUTH_KEY_FILE)."
            ) from error
