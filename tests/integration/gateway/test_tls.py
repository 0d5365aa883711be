"""TLS in earnest: which certificate for which name, files that change, what is refused."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import pytest_asyncio
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from tests.integration.gateway import fleet as fleets
from tests.integration.gateway.fleet import Fleet, fetch, free_port, until

ONE_YEAR = timedelta(days=365)


class Authority:
    """Signs what the tests need."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "An authority")])
        self.certificate = self._sign(self._name, self._key, None)

    def pem(self) -> str:
        return self.certificate.public_bytes(Encoding.PEM).decode()

    def pair(self, *names: str) -> tuple[bytes, bytes]:
        """A certificate for these names, and its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a server")])
        certificate = self._sign(subject, key, [x509.DNSName(name) for name in names])
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return certificate.public_bytes(Encoding.PEM), pem

    def write(self, folder: Path, file: str, *names: str) -> None:
        folder.mkdir(exist_ok=True)
        certificate, key = self.pair(*names)
        (folder / f"{file}.key").write_bytes(key)
        (folder / f"{file}.key").chmod(0o600)
        (folder / f"{file}.crt").write_bytes(certificate)

    def _sign(self, subject, key, names) -> x509.Certificate:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + ONE_YEAR)
            .add_extension(x509.BasicConstraints(ca=names is None, path_length=None), True)
            .add_extension(x509.SubjectAlternativeName(names or [x509.DNSName("ca")]), False)
            .sign(self._key, hashes.SHA256())
        )


class SecureFleet(Fleet):
    def __init__(self, home: Path, backend: str, **settings) -> None:
        self.tls_port = free_port()
        super().__init__(home, backend, tls_port=self.tls_port, **settings)
        self.certificates = home / "tls"

    async def connect_tls(self, name: str | None = None, context: ssl.SSLContext | None = None):
        """A connection over TLS that asks for `name`; nothing of the certificate is checked
        unless `context` does."""
        return await asyncio.open_connection(
            "127.0.0.1",
            self.tls_port,
            ssl=context or unchecking(),
            server_hostname=name,
            limit=1 << 22,
        )

    async def names_for(self, name: str | None) -> set[str]:
        """The names in the certificate that is shown to who asks for `name`."""
        _, writer = await self.connect_tls(name or "")
        shown = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        writer.close()
        found = x509.load_der_x509_certificate(shown).extensions
        names = found.get_extension_for_class(x509.SubjectAlternativeName).value
        return {str(one.value) for one in names}

    async def head(self, path: str = "/a/", name: str = "localhost") -> str:
        reader, writer = await self.connect_tls(name)
        head, _ = await fetch(reader, writer, path, close=True)
        writer.close()
        return head.decode()


def unchecking() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


@pytest_asyncio.fixture
async def backend() -> AsyncIterator[str]:
    async with fleets.backend() as address:
        yield address


@pytest.fixture
def authority() -> Authority:
    return Authority()


@contextlib.asynccontextmanager
async def running(fleet: SecureFleet) -> AsyncIterator[SecureFleet]:
    try:
        await fleet.start(workers=1)
        yield fleet
    finally:
        fleet.end()


async def test_certificates_by_name(tmp_path: Path, backend: str, authority: Authority) -> None:
    fleet = SecureFleet(tmp_path, backend)
    authority.write(fleet.certificates, "apps", "apps.example.com", "*.apps.example.com")
    authority.write(fleet.certificates, "default", "portal.example.com")
    async with running(fleet):
        assert await fleet.names_for("portal.example.com") == {"portal.example.com"}
        apps = {"apps.example.com", "*.apps.example.com"}
        assert await fleet.names_for("apps.example.com") == apps
        assert await fleet.names_for("Sales.Apps.example.com") == apps
        # A wildcard stands for one label (RFC 6125, 6.4.3).
        assert await fleet.names_for("a.b.apps.example.com") == {"portal.example.com"}
        assert await fleet.names_for("elsewhere.org") == {"portal.example.com"}
        assert await fleet.names_for(None) == {"portal.example.com"}


async def test_a_browser_that_offers_http2_gets_http1(tmp_path: Path, backend: str) -> None:
    offering = unchecking()
    offering.set_alpn_protocols(["h2", "http/1.1"])
    async with running(SecureFleet(tmp_path, backend)) as fleet:
        reader, writer = await fleet.connect_tls(context=offering)
        assert writer.get_extra_info("ssl_object").selected_alpn_protocol() == "http/1.1"
        assert (await fetch(reader, writer, "/a/"))[1] == b"ok"
        writer.close()


async def test_requests_over_tls(tmp_path: Path, backend: str, authority: Authority) -> None:
    fleet = SecureFleet(tmp_path, backend)
    authority.write(fleet.certificates, "localhost", "localhost")
    checking = ssl.create_default_context(cadata=authority.pem())
    async with running(fleet):
        reader, writer = await fleet.connect_tls("localhost", checking)
        assert writer.get_extra_info("ssl_object").version() == "TLSv1.3"
        for _ in range(3):
            head, body = await fetch(reader, writer, "/a/")
            assert body == b"ok"
            assert b"Strict-Transport-Security: max-age=31536000\r\n" in head
        head, body = await fetch(reader, writer, "/a/slow?1", close=True)
        assert len(body) == 20 * 10_000
        assert await asyncio.wait_for(reader.read(), 10) == b""
        own = await fleet.head("/-/livez")
        assert "Strict-Transport-Security: max-age=31536000\r\n" in own


async def test_a_refused_request_is_answered_and_the_connection_ends(
    tmp_path: Path, backend: str
) -> None:
    async with running(SecureFleet(tmp_path, backend)) as fleet:
        reader, writer = await fleet.connect_tls()
        writer.write(b"GET /a/ HTTP/1.1\nHost: h\n\n" + b"x" * 100_000)
        answer = await asyncio.wait_for(reader.read(), 30)
        assert answer.startswith(b"HTTP/1.1 400")


async def test_changed_files_are_served_without_a_restart(
    tmp_path: Path, backend: str, authority: Authority
) -> None:
    fleet = SecureFleet(tmp_path, backend)
    authority.write(fleet.certificates, "site", "old.example.com")
    async with running(fleet):
        kept_reader, kept_writer = await fleet.connect_tls()
        authority.write(fleet.certificates, "site", "new.example.com")
        await _until_shown(fleet, {"new.example.com"})
        # A connection of before goes on.
        assert (await fetch(kept_reader, kept_writer, "/a/"))[1] == b"ok"
        kept_writer.close()
        _, stranger = authority.pair("other.example.com")
        (fleet.certificates / "site.key").write_bytes(stranger)
        await until(lambda: "site.key is not its key" in fleet.log)
        assert await fleet.names_for(None) == {"new.example.com"}
        (fleet.certificates / "site.crt").write_text("no certificate")
        await until(lambda: "it is no PEM certificate" in fleet.log)
        assert await fleet.names_for(None) == {"new.example.com"}
        authority.write(fleet.certificates, "site", "mended.example.com")
        await _until_shown(fleet, {"mended.example.com"})
        (fleet.certificates / "site.key").chmod(0o644)
        (fleet.certificates / "second.pem").write_bytes(authority.pair("x")[0])
        await until(lambda: "chmod 600" in fleet.log)


async def test_without_a_certificate_one_is_made_and_kept(
    tmp_path: Path, backend: str, authority: Authority
) -> None:
    fleet = SecureFleet(
        tmp_path,
        backend,
        public_url="https://moorage.example.com",
        apps_domain="apps.example.com",
        gateway_workers=1,
    )
    wanted = {"localhost", "127.0.0.1", "::1", "moorage.example.com", "*.apps.example.com"}
    async with running(fleet):
        assert await fleet.names_for("moorage.example.com") == wanted
        assert "Strict-Transport-Security" not in await fleet.head()
        made = (fleet.certificates / "self-signed.crt").read_bytes()
        assert (fleet.certificates / "self-signed.key").stat().st_mode & 0o777 == 0o600
        await fleet.renew()
        assert (fleet.certificates / "self-signed.crt").read_bytes() == made
        authority.write(fleet.certificates, "real", "moorage.example.com")
        await _until_shown(fleet, {"moorage.example.com"})
        assert "Strict-Transport-Security" in await fleet.head()


async def test_the_plain_port_leads_to_tls(tmp_path: Path, backend: str) -> None:
    async with running(SecureFleet(tmp_path, backend, hsts_seconds=0)) as fleet:
        reader, writer = await fleet.connect()
        head, _ = await fetch(reader, writer, "/a/page?q=1&r=%2F")
        assert head.startswith(b"HTTP/1.1 308 ")
        where = f"Location: https://localhost:{fleet.tls_port}/a/page?q=1&r=%2F\r\n"
        assert where.encode() in head
        for probe in ("/-/livez", "/-/readyz"):
            assert (await fetch(reader, writer, probe))[0].startswith(b"HTTP/1.1 200 ")
        writer.write(b"POST /a/ HTTP/1.1\r\nHost: [::1]:80\r\nContent-Length: 5\r\n\r\nhello")
        head = await reader.readuntil(b"\r\n\r\n")
        assert f"Location: https://[::1]:{fleet.tls_port}/a/\r\n".encode() in head
        assert await asyncio.wait_for(reader.read(), 15) == b""
        assert "Strict-Transport-Security" not in await fleet.head()


async def test_a_trusted_proxy_that_speaks_tls_is_not_led_anywhere(
    tmp_path: Path, backend: str
) -> None:
    fleet = SecureFleet(tmp_path, backend, trusted_proxies="127.0.0.0/8")
    async with running(fleet):
        reader, writer = await fleet.connect()
        writer.write(b"GET /a/ HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 203.0.113.5\r\n")
        writer.write(b"X-Forwarded-Proto: https\r\nConnection: close\r\n\r\n")
        answer = await asyncio.wait_for(reader.read(), 15)
        assert answer.startswith(b"HTTP/1.1 200 "), answer


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")
async def test_old_protocols_and_weak_ciphers_are_refused(tmp_path: Path, backend: str) -> None:
    async with running(SecureFleet(tmp_path, backend)) as fleet:
        old = unchecking()
        old.set_ciphers("ALL:@SECLEVEL=0")
        old.minimum_version = ssl.TLSVersion.TLSv1
        old.maximum_version = ssl.TLSVersion.TLSv1_1
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await fleet.connect_tls(context=old)
        weak = unchecking()
        weak.maximum_version = ssl.TLSVersion.TLSv1_2
        weak.set_ciphers("AES128-SHA:ECDHE-ECDSA-AES128-SHA:@SECLEVEL=0")
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await fleet.connect_tls(context=weak)
        sound = unchecking()
        sound.maximum_version = ssl.TLSVersion.TLSv1_2
        _, writer = await fleet.connect_tls(context=sound)
        assert writer.get_extra_info("ssl_object").version() == "TLSv1.2"
        writer.close()


async def test_handshakes_that_never_end_are_ended(tmp_path: Path, backend: str) -> None:
    async with running(SecureFleet(tmp_path, backend)) as fleet:
        silent = [await asyncio.open_connection("127.0.0.1", fleet.tls_port) for _ in range(50)]
        assert "200 OK" in await fleet.head()
        for reader, writer in silent:
            with contextlib.suppress(ConnectionError):
                assert await asyncio.wait_for(reader.read(), 40) == b""
            writer.close()


async def test_a_restart_keeps_what_is_under_way_over_tls(tmp_path: Path, backend: str) -> None:
    async with running(SecureFleet(tmp_path, backend)) as fleet:
        reader, writer = await fleet.connect_tls()
        download = asyncio.create_task(fetch(reader, writer, "/a/slow?6"))
        await asyncio.sleep(0.3)
        await fleet.renew()
        assert "200 OK" in await fleet.head()
        assert len((await asyncio.wait_for(download, 30))[1]) == 6 * 20 * 10_000
        writer.close()


async def _until_shown(fleet: SecureFleet, names: set[str]) -> None:
    async with asyncio.timeout(15):
        while await fleet.names_for(None) != names:
            await asyncio.sleep(0.1)
