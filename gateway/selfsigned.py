"""A certificate of our own making, so that TLS can be tried before there is a real one."""

import fcntl
import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from shared.logs import get_logger

logger = get_logger(__name__)

NAME = "self-signed"
DAYS = 397
"""Browsers take none that is valid for longer."""
RENEW_DAYS = 30
LOCAL = ("localhost", "127.0.0.1", "::1")


def pair(folder: Path) -> tuple[Path, Path]:
    """Where certificate and key lie."""
    return folder / f"{NAME}.crt", folder / f"{NAME}.key"


def is_due(ends: datetime) -> bool:
    """Is it time to make another?"""
    return ends - datetime.now(UTC) < timedelta(days=RENEW_DAYS)


def ensure(folder: Path, names: Sequence[str]) -> None:
    """Make one for `names` and this machine unless there is a good one; several workers may call
    this at once. Raises `OSError` when the folder cannot be written."""
    wanted = {*LOCAL, *(name for name in names if name)}
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    lock = os.open(folder / f".{NAME}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not _is_good(folder, wanted):
            _make(folder, sorted(wanted))
    finally:
        os.close(lock)


def _is_good(folder: Path, wanted: set[str]) -> bool:
    certificate, key = pair(folder)
    try:
        found = x509.load_pem_x509_certificate(certificate.read_bytes())
        names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (OSError, ValueError, x509.ExtensionNotFound):
        return False
    covered = {str(name.value) for name in names}
    return key.exists() and wanted <= covered and not is_due(found.not_valid_after_utc)


def _make(folder: Path, names: Iterable[str]) -> None:
    certificate_path, key_path = pair(folder)
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Moorage, signed by itself")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=DAYS))
        .add_extension(x509.SubjectAlternativeName([_general(name) for name in names]), False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False)
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    _write(key_path, pem)
    _write(certificate_path, certificate.public_bytes(Encoding.PEM))
    logger.warning(
        "A certificate signed by itself is served; browsers will warn of it. Put a real one and"
        f" its key into {folder}, as NAME.crt and NAME.key.",
        extra={"names": list(names)},
    )


def _general(name: str) -> x509.GeneralName:
    with suppress(ValueError):
        return x509.IPAddress(ip_address(name))
    return x509.DNSName(name)


def _write(path: Path, content: bytes) -> None:
    beside = path.with_name(f".{path.name}.partial")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
