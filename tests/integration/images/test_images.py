"""The images themselves, made in an engine of the tests' own and tried there."""

import hashlib
import json
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import unquote

import pytest

from deploy.embedded.layout import CHECKOUT
from deploy.images import certificates, debian, mirrors, wheels
from deploy.images.catalogue import IMAGES, LOCKS, SERVERS, VERSION, Image, named
from deploy.images.engine import Engine
from deploy.images.making import INPUTS
from deploy.images.sbom import FOLDER
from shared.events.catalogue import PROCESSES
from tests.harness.docker import DockerServer
from tests.harness.platform import until

pytestmark = pytest.mark.timeout(900)
EVERYTHING = {"stdout": True, "stderr": True}
CERTIFICATES = "/usr/local/share/ca-certificates"


@pytest.fixture(scope="module")
def engine(docker_server: DockerServer) -> Engine:
    """An engine with all images."""
    make(docker_server, "deploy.images")
    return Engine(docker_server.url)


def make(server: DockerServer, *words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", *words],
        cwd=CHECKOUT,
        env={**os.environ, "DOCKER_HOST": server.url},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def says(engine: Engine, name: str, script: str) -> list[str]:
    """The lines that a script prints in an image, run as the image's own user."""
    return engine.run(named(name).tag, ["/bin/sh", "-c", script]).splitlines()


def test_what_has_not_changed_is_not_made_again(
    engine: Engine, docker_server: DockerServer
) -> None:
    """The platform's own code left out: somebody may be working on it."""
    images = [image for image in IMAGES if image.name in ("base", "app", *SERVERS)]
    before = [engine.find(image.tag) for image in images]
    lines = make(docker_server, "deploy.images", "app", "servers").splitlines()
    assert lines == [f"{image.tag:28} unchanged" for image in images]
    assert [engine.find(image.tag) for image in images] == before


def test_the_same_packages_give_the_same_bytes(engine: Engine, tmp_path: Path) -> None:
    mirror = mirrors.of_machine()
    sources = mirrors.sources(mirror, mirrors.security_of(mirror))
    told = debian.arguments(sources, engine.architecture)

    def made(name: str) -> str:
        root = tmp_path / f"{name}.tar"
        debian.make(told, root, tmp_path / f"{name}.log")
        return hashlib.sha256(root.read_bytes()).hexdigest()

    with ThreadPoolExecutor() as both:
        first, second = both.map(made, ("first", "second"))
    assert first == second


def test_apps_find_what_the_engine_and_the_builder_count_on(engine: Engine) -> None:
    told = says(
        engine,
        "app",
        "id -u; pwd; echo $LANG; /usr/bin/python3 -c 'import ssl, sqlite3, venv; print(1)'; "
        "/usr/local/bin/uv --version; /usr/bin/tini --version; /usr/sbin/nft --version; "
        "stat -c '%n %u %a' /app /env /data",
    )
    assert told[:4] == ["10001", "/app", "C.UTF-8", "1"]
    lock = (LOCKS / "uv.lock").read_text()
    assert told[4].split()[:2] == ["uv", lock.split()[0].removeprefix("uv==")]
    assert told[5].startswith("tini version")
    assert told[6].startswith("nftables v")
    assert told[7:] == ["/app 0 755", "/env 0 755", "/data 0 755"]


def test_the_site_s_authorities_are_trusted(engine: Engine) -> None:
    site = certificates.of_site(None, os.environ)
    assert sorted(says(engine, "app", f"ls -1 {CERTIFICATES}")) == sorted(site)
    inside = "\n".join(says(engine, "app", "cat $SSL_CERT_FILE"))
    assert inside.count("BEGIN CERTIFICATE") > 100
    for pem in site.values():
        assert pem.decode().strip() in inside


@pytest.mark.parametrize("image", IMAGES, ids=lambda image: image.name)
def test_each_says_what_it_is_and_does_not_run_as_root(engine: Engine, image: Image) -> None:
    config = (engine.find(image.tag) or {})["Config"]
    assert len(config["Labels"][INPUTS]) == 64
    assert config["Labels"]["org.opencontainers.image.version"] == VERSION
    assert config["Labels"]["org.opencontainers.image.title"].startswith("Moorage: ")
    assert int(config["User"].partition(":")[0]) >= 10000


@pytest.mark.parametrize("process", PROCESSES)
def test_a_process_starts_and_says_which_settings_it_lacks(engine: Engine, process: str) -> None:
    image = named(process.replace("_", "-"))
    command = " ".join((engine.find(image.tag) or {})["Config"]["Cmd"])
    assert command.endswith(process)
    told = says(engine, image.name, f"{command} 2>&1 || echo failed")
    assert "MOORAGE_INSTANCE" in told[-2]
    assert told[-1] == "failed"


def test_the_platform_s_programs_are_there(engine: Engine) -> None:
    assert says(engine, "git-ingest", "git --version")[0].startswith("git version")
    assert says(engine, "setup", "moorage --version") == [f"moorage, version {VERSION}"]


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("nats", "nats-server --version"),
        ("postgres", "postgres --version"),
        ("openbao", "bao version"),
    ],
)
def test_the_servers_are_those_of_the_lock(engine: Engine, name: str, command: str) -> None:
    lock = wheels.blocks((LOCKS / "platform.lock").read_text())[SERVERS[name]]
    release = ".".join(lock.split()[0].partition("==")[2].split(".")[:2])
    assert re.search(rf"\bv?{re.escape(release)}\b", says(engine, name, command)[0])


def test_postgresql_makes_its_cluster_once(
    engine: Engine, docker_server: DockerServer, tmp_path: Path
) -> None:
    (tmp_path / "password").write_text("secret")
    tmp_path.chmod(0o755)
    asked = {
        "Image": named("postgres").tag,
        "HostConfig": {
            "NetworkMode": "none",
            "ReadonlyRootfs": True,
            "CapDrop": ["ALL"],
            "Binds": [f"{tmp_path}:/config:ro"],
            "Mounts": [{"Type": "volume", "Target": "/data"}],
            "Tmpfs": {"/tmp": "", "/run/postgresql": "uid=10003"},
        },
    }
    with docker_server.client() as client:
        container = client.post("/containers/create", json=asked).json()["Id"]

        def ready(times: int) -> bool:
            said = client.get(f"/containers/{container}/logs", params=EVERYTHING).text
            return said.count("ready to accept connections") == times

        try:
            for times in (1, 2):
                client.post(f"/containers/{container}/start").raise_for_status()
                until(lambda times=times: ready(times))
                client.post(f"/containers/{container}/stop").raise_for_status()
                state = client.get(f"/containers/{container}/json").json()["State"]
                assert state["ExitCode"] == 0
            said = client.get(f"/containers/{container}/logs", params=EVERYTHING).text
            assert said.count("Success. You can now start the database server") == 1
        finally:
            client.delete(f"/containers/{container}", params={"force": True, "v": True})


def test_a_bill_of_materials_leaves_nothing_out(
    engine: Engine, docker_server: DockerServer
) -> None:
    make(docker_server, "deploy.images.sbom")
    bill = json.loads((FOLDER / "git-ingest.cdx.json").read_text())
    assert bill["bomFormat"] == "CycloneDX"
    assert bill["metadata"]["component"]["name"] == "moorage/git-ingest"
    listed = {component["purl"].partition("?")[0] for component in bill["components"]}
    debian = says(engine, "git-ingest", "dpkg-query -W -f '${binary:Package} ${Version}\n'")
    assert len(debian) > 80
    for line in debian:
        name, version = line.split()
        assert f"pkg:deb/debian/{name.partition(':')[0]}@{version}" in map(unquote, listed)
    python = says(
        engine,
        "git-ingest",
        "python3 -c 'from importlib.metadata import distributions as all\n"
        "for one in all(): print(one.name, one.version)'",
    )
    assert len(python) > 50
    for line in python:
        name, version = line.split()
        assert f"pkg:pypi/{re.sub('[-_.]+', '-', name).lower()}@{version}" in listed
