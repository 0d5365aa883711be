"""Keys and passwords of the embedded platform: made once, by nobody's hand, readable by its owner.

What protects what: `keys/` opens everything else. Back it up apart from the data.
"""

import json
import os
import secrets
import socket
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import nkeys
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID

from deploy.embedded.layout import Layout
from shared.events.catalogue import PROCESSES

CERTIFICATE_DAYS = 3650
LOWEST_PORT, HIGHEST_PORT = 14000, 19999
"""Below the range from which the kernel takes client ports, which may hold ours when we restart."""


def write_once(path: Path, content: str | bytes) -> None:
    """Write a secret file (mode 0600) unless it is there."""
    if path.exists():
        return
    data = content.encode() if isinstance(content, str) else content
    partial = path.with_name(path.name + ".partial")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    partial.rename(path)


def ensure(layout: Layout) -> None:
    """Make what is missing; what is there is never changed."""
    keys = layout.keys
    write_once(layout.admin_password, secrets.token_urlsafe(15))
    write_once(layout.admin_token, "mrg_" + secrets.token_urlsafe(32))
    write_once(keys / "auth-key", secrets.token_hex(32))
    write_once(keys / "openbao-seal", secrets.token_bytes(32))
    write_once(keys / "postgres-postgres", secrets.token_urlsafe(24))
    for name in ("secrets", "operator"):
        role = {"role_id": secrets.token_hex(16), "secret_id": secrets.token_hex(16)}
        write_once(keys / f"openbao-{name}.json", json.dumps(role))
    for process in PROCESSES:
        write_once(keys / f"nats-{process}.seed", _nkey_seed())
        if process != "gateway":
            write_once(keys / f"postgres-{process}", secrets.token_urlsafe(24))
    _ensure_certificate(keys)


def nkey_public(seed_file: Path) -> str:
    """The public key that belongs to an nkey seed file."""
    return nkeys.from_seed(seed_file.read_bytes().strip()).public_key.decode()


def ports(layout: Layout) -> dict[str, int]:
    """The ports of NATS and OpenBao, kept over restarts."""
    path = layout.keys / "ports.json"
    if not path.exists():
        names = ("nats", "openbao", "openbao-cluster")
        write_once(path, json.dumps(dict(zip(names, free_ports(len(names)), strict=True))))
    return json.loads(path.read_text())


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that nobody listens on at the moment."""
    found: list[int] = []
    while len(found) < count:
        port = secrets.randbelow(HIGHEST_PORT - LOWEST_PORT + 1) + LOWEST_PORT
        with socket.socket() as probe:
            if port not in found and probe.connect_ex(("127.0.0.1", port)) != 0:
                found.append(port)
    return found


def _nkey_seed() -> str:
    return nkeys.encode_seed(os.urandom(32), nkeys.PREFIX_BYTE_USER).decode()


def _ensure_certificate(keys: Path) -> None:
    """A private authority and one server certificate for loopback, for NATS and OpenBao."""
    if (keys / "ca.pem").exists():
        return
    authority_key, server_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    authority_name = _name("Moorage embedded authority")
    authority = (
        _certificate(authority_name, authority_name, authority_key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(authority_key, hashes.SHA256())
    )
    names: list[x509.GeneralName] = [
        x509.DNSName("localhost"),
        x509.IPAddress(ip_address("127.0.0.1")),
    ]
    server = (
        _certificate(_name("localhost"), authority_name, server_key.public_key())
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    pem = server_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    write_once(keys / "server-key.pem", pem)
    write_once(keys / "server.pem", server.public_bytes(Encoding.PEM))
    write_once(keys / "ca.pem", authority.public_bytes(Encoding.PEM))


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _certificate(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=CERTIFICATE_DAYS))
    )
