"""Certificates by server name, from a folder that is watched.

Every pair NAME.crt and NAME.key (or NAME.pem and NAME.key) in the folder is served to those who ask
for a name in it (SNI, RFC 6066, 3), `default` or else the first to everybody else. Where there is
none, one signed by itself is made.
"""

import asyncio
import ssl
import stat
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from cryptography import x509

from gateway import selfsigned
from shared.logs import get_logger

logger = get_logger(__name__)

POLL_SECONDS = 1.0
CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""Of TLS 1.2: forward secrecy and authenticated encryption. Those of 1.3 are all like that."""


class BadPair(Exception):
    """Why a certificate cannot be used, and what to do: the second half of a sentence."""


class Certificate(NamedTuple):
    """A pair that can be served. `names` in lower case, wildcards as they are written."""

    name: str
    context: ssl.SSLContext
    names: frozenset[str]
    vouched: bool
    """Has somebody else signed it?"""
    ends: datetime


class Certificates:
    """Those of a folder. `own_names` are in the one that is made when there is none."""

    def __init__(self, folder: Path, own_names: Iterable[str]) -> None:
        self._folder = folder
        self._own_names = tuple(own_names)
        self._served: dict[str, Certificate] = {}
        self._by_name: dict[str, Certificate] = {}
        self._seen: object = None
        self.front = new_context()
        """For the listener: it has no certificate itself and passes on to those that have."""
        self.front.sni_callback = self._choose
        self.refresh()

    def vouched(self, context: ssl.SSLContext) -> bool:
        """Is this the context of a certificate that somebody else has signed?"""
        return any(known.context is context and known.vouched for known in self._served.values())

    def find(self, server_name: str) -> Certificate:
        """The certificate for a name, the default one for a name that none has."""
        name = server_name.lower()
        wildcard = "*." + name.partition(".")[2]
        found = self._by_name.get(name) or self._by_name.get(wildcard)
        return found or self._served.get("default") or next(iter(self._served.values()))

    def _choose(self, tls: ssl.SSLObject, server_name: str | None, _: ssl.SSLContext) -> None:
        tls.context = self.find(server_name or "").context

    async def keep_fresh(self) -> None:
        """Follow the folder, for ever. A change counts when it is a poll old: whoever replaces a
        pair does so one file after the other."""
        before = self._seen
        while True:
            await asyncio.sleep(POLL_SECONDS)
            try:
                seen = await asyncio.to_thread(_state_of, self._folder)
            except OSError as error:
                logger.error("cannot look for certificates", extra={"cause": repr(error)})
                continue
            if seen == before and (seen != self._seen or self._own_ends()):
                await asyncio.to_thread(self.refresh)
                seen = self._seen
            before = seen

    def refresh(self) -> None:
        """Read the folder; what cannot be used is logged, and what was there before stays."""
        self._seen = _state_of(self._folder)
        pairs = _pairs(self._folder)
        pairs.pop(selfsigned.NAME, None)
        served = self._read_all(pairs)
        if not served:
            selfsigned.ensure(self._folder, self._own_names)
            served = self._read_all({selfsigned.NAME: selfsigned.pair(self._folder)})
            self._seen = _state_of(self._folder)
        # Put in place as a whole: handshakes go on while this runs in a thread.
        by_name = {name: one for one in reversed(served.values()) for name in one.names}
        self._served, self._by_name = served, by_name
        logger.info("certificates", extra={"served": {k: v.ends for k, v in served.items()}})

    def _read_all(self, pairs: dict[str, tuple[Path, Path]]) -> dict[str, Certificate]:
        served: dict[str, Certificate] = {}
        for name, (certificate, key) in pairs.items():
            try:
                served[name] = read_pair(name, certificate, key)
            except BadPair as error:
                stays = name in self._served
                more = " The one before it stays in use." if stays else ""
                logger.error(f"The certificate {certificate} cannot be used: {error}{more}")
                if stays:
                    served[name] = self._served[name]
        return served

    def _own_ends(self) -> bool:
        own = self._served.get(selfsigned.NAME)
        return own is not None and selfsigned.is_due(own.ends)


def new_context() -> ssl.SSLContext:
    """TLS 1.2 and 1.3 towards browsers, HTTP/1.1 inside."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(CIPHERS)
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    return context


def read_pair(name: str, certificate: Path, key: Path) -> Certificate:
    """A certificate (with its chain behind it) and its key, both PEM. Raises `BadPair`."""
    try:
        leaf = x509.load_pem_x509_certificate(certificate.read_bytes())
        _check_key_mode(key)
    except OSError as error:
        raise BadPair(f"{error.filename} cannot be read ({error.strerror}).") from error
    except ValueError as error:
        raise BadPair(
            "it is no PEM certificate; write it there again, its chain behind."
        ) from error
    if leaf.not_valid_after_utc < datetime.now(UTC):
        logger.warning(f"The certificate {certificate} has ended; put a new one in its place.")
    return Certificate(
        name,
        _context_of(certificate, key),
        frozenset(_names_in(leaf)),
        leaf.issuer != leaf.subject,
        leaf.not_valid_after_utc,
    )


def _context_of(certificate: Path, key: Path) -> ssl.SSLContext:
    context = new_context()
    try:
        # Without a password of ours OpenSSL would ask for one on the terminal.
        context.load_cert_chain(certificate, key, password=lambda: "")
    except ssl.SSLError as error:
        reason = {
            "KEY_VALUES_MISMATCH": f"{key} is not its key; put there what belongs together.",
            "EE_KEY_TOO_SMALL": "its key is too short; make a new one.",
        }.get(
            error.reason or "",
            f"{key} is no PEM key without a passphrase ({error.reason or error}).",
        )
        raise BadPair(reason) from error
    except OSError as error:
        raise BadPair(f"{key} cannot be read ({error.strerror}).") from error
    return context


def _names_in(leaf: x509.Certificate) -> list[str]:
    """Its subject alternative names; addresses are no server names (RFC 6066, 3)."""
    try:
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return [name.lower() for name in names.get_values_for_type(x509.DNSName)]


def _check_key_mode(key: Path) -> None:
    if key.stat().st_mode & stat.S_IRWXO:
        logger.warning(f"Everybody on this machine may read {key}; close it: chmod 600 {key}")


def _pairs(folder: Path) -> dict[str, tuple[Path, Path]]:
    """Certificate and key by their name, in order; a name that has both endings counts once."""
    found: dict[str, tuple[Path, Path]] = {}
    for key in sorted(folder.glob("*.key")):
        for certificate in (key.with_suffix(".crt"), key.with_suffix(".pem")):
            if certificate.exists():
                found.setdefault(key.stem, (certificate, key))
    return found


def _state_of(folder: Path) -> object:
    """Something that differs when a file of the folder has changed."""
    state: list[tuple[str, int, int, int]] = []
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path.suffix in (".crt", ".pem", ".key"):
            try:
                found = path.stat()
            except OSError:
                continue
            state.append((path.name, found.st_mtime_ns, found.st_size, found.st_ino))
    return state
