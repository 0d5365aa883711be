"""Certificates as files: which are served, which are not, and when another is made."""

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from gateway import selfsigned
from gateway.redirect import secure_url
from gateway.requests import RequestReader
from gateway.tls import BadPair, Certificates, read_pair


def make(folder: Path, *names: str) -> tuple[Path, Path]:
    selfsigned.ensure(folder, names)
    return selfsigned.pair(folder)


def rename(pair: tuple[Path, Path], folder: Path, name: str, ending: str = ".crt") -> None:
    folder.mkdir(exist_ok=True)
    pair[0].rename(folder / f"{name}{ending}")
    pair[1].rename(folder / f"{name}.key")


def test_the_made_one_is_made_once_and_again_for_another_name(tmp_path: Path) -> None:
    certificate, key = make(tmp_path, "one.example.com")
    first = certificate.read_bytes()
    assert key.stat().st_mode & 0o777 == 0o600
    assert tmp_path.stat().st_mode & 0o777 in (0o700, 0o755)
    make(tmp_path, "one.example.com")
    assert certificate.read_bytes() == first
    make(tmp_path, "one.example.com", "two.example.com")
    assert certificate.read_bytes() != first


def test_the_made_one_is_renewed_before_it_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(selfsigned, "DAYS", selfsigned.RENEW_DAYS - 1)
    certificate, _ = make(tmp_path)
    first = certificate.read_bytes()
    monkeypatch.undo()
    make(tmp_path)
    assert certificate.read_bytes() != first
    assert not selfsigned.is_due(datetime.now(UTC) + timedelta(days=selfsigned.RENEW_DAYS + 1))


def test_names_and_the_default(tmp_path: Path) -> None:
    served = tmp_path / "served"
    for number, names in enumerate((["b.org", "*.apps.org"], ["c.org"])):
        rename(make(tmp_path / str(number), *names), served, f"pair-{number}")
    certificates = Certificates(served, ())
    assert certificates.find("B.org").name == "pair-0"
    assert certificates.find("x.apps.org").name == "pair-0"
    assert certificates.find("x.y.apps.org").name == "pair-0"  # the first, for want of a better
    assert certificates.find("c.org").name == "pair-1"
    assert certificates.find("").name == "pair-0"
    rename(make(tmp_path / "more", "d.org"), served, "default", ".pem")
    certificates.refresh()
    assert certificates.find("elsewhere").name == "default"
    assert not certificates.vouched(certificates.find("d.org").context)


def test_what_is_broken_leaves_what_was_there(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    served = tmp_path / "served"
    rename(make(tmp_path / "a", "a.org"), served, "a")
    certificates = Certificates(served, ())
    before = certificates.find("a.org")
    (served / "a.key").write_text("nothing")
    certificates.refresh()
    assert certificates.find("a.org") is before
    assert "is no PEM key without a passphrase" in caplog.text
    assert "The one before it stays in use." in caplog.text
    (served / "a.key").unlink()
    certificates.refresh()
    assert certificates.find("a.org").name == selfsigned.NAME


def test_a_key_with_a_passphrase_asks_nobody(tmp_path: Path) -> None:
    certificate, key = make(tmp_path)
    loaded = load_pem_private_key(key.read_bytes(), None)
    locked = loaded.private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")
    )
    key.write_bytes(locked)
    with pytest.raises(BadPair, match="without a passphrase"):
        read_pair("x", certificate, key)


def test_missing_files_and_other_keys_are_named(tmp_path: Path) -> None:
    certificate, _ = make(tmp_path / "a")
    _, stranger = make(tmp_path / "b")
    with pytest.raises(BadPair, match="is not its key"):
        read_pair("x", certificate, stranger)
    with pytest.raises(BadPair, match="cannot be read"):
        read_pair("x", certificate, tmp_path / "none.key")


def test_protocols(tmp_path: Path) -> None:
    front = Certificates(tmp_path, ()).front
    assert front.minimum_version is ssl.TLSVersion.TLSv1_2
    weak = [one["name"] for one in front.get_ciphers() if not one["aead"]]
    assert weak == []


@pytest.mark.parametrize(
    ("host", "authority", "wanted"),
    [
        ("h.org", "o.org:443", "https://h.org/a?b"),
        ("h.org:8080", "o.org:8443", "https://h.org:8443/a?b"),
        ("", "o.org:8443", "https://o.org:8443/a?b"),
        ("[::1]:80", "o.org:443", "https://[::1]/a?b"),
        ("[::1]", "o.org:8443", "https://[::1]:8443/a?b"),
    ],
)
def test_where_the_plain_port_leads(host: str, authority: str, wanted: str) -> None:
    request = RequestReader().read(b"GET /a?b HTTP/1.1\r\nHost: h\r\n")
    assert secure_url(request, host, authority) == wanted
