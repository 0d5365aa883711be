"""Builds in containers of a real engine: layers that are shared, and packages that are hostile."""

import asyncio
import hashlib
import io
import json
import os
import tarfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from aiodocker import Docker
from uv import find_uv_bin

from services.builder.dependencies import read_dependencies
from services.builder.detect import detect
from services.builder.jobs import Job, Wanted
from services.builder.settings import BuilderSettings
from services.builder.uv import Uv
from services.builder.workshops.containers import PROCESSES
from services.builder.workshops.docker import MANIFEST, DockerWorkshop
from services.scheduler.engines.docker import DockerEngine
from shared.docker import firewall
from shared.docker.names import LABEL, Names
from shared.errors import Invalid, NotFound
from tests.harness import app_image
from tests.harness.docker import DockerServer
from tests.integration.builder.pushes import Pusher, ended, published

pytestmark = pytest.mark.asyncio

FLASK = """\
from flask import Flask

app = Flask(__name__)

@app.get("/")
def home():
    return "{}"
"""
# A package whose build is code of its author's, and wants nothing from an index.
BACKEND = """\
import os, socket, sys, time

def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    print("building as", os.getuid(), flush=True)
    {attack}
    raise SystemExit("the attack came to its end")
"""
PROJECT = """\
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]

[project]
name = "evil"
version = "1.0"
"""
SMALL = {
    "builder_memory_mb": 256,
    "builder_disk_mb": 96,
    "builder_timeout_seconds": 15.0,
}


class Bench:
    """A workshop on a data folder of its own, and a folder of packages beside the index."""

    def __init__(self, folder: Path, server: DockerServer, **settings: Any) -> None:
        self.home = folder / "home"
        self.packages = folder / "packages"
        self.packages.mkdir(parents=True)
        self.settings = BuilderSettings(
            home=self.home, instance="builder-1", listen="unix:/x", nats_url="tls://localhost:1",
            nats_seed_file=folder, docker_url=server.url, docker_networks=server.networks,
            engine="docker", **settings,
        )  # fmt: skip
        folders = [*os.environ.get("PIP_FIND_LINKS", "").split(), str(self.packages)]
        self.uv = Uv(Path(find_uv_bin()), {**os.environ, "UV_FIND_LINKS": ",".join(folders)})
        self.workshop = DockerWorkshop(self.settings, self.uv)
        self.said: list[str] = []

    async def build(self, name: str, files: dict[str, str]) -> str:
        """What `recipe.cook` does with an unpacked source; the image."""
        work = self.home / "builds" / name
        code = work / "code"
        for file, text in files.items():
            (code / file).parent.mkdir(parents=True, exist_ok=True)
            (code / file).write_text(text)
        self.said = []
        job = Job(name, "sales", work, self.said.append, self.settings.builder_timeout_seconds)
        plan = detect(code)
        dependencies = await read_dependencies(code, self.uv)
        python = await self.workshop.interpreter(dependencies.python)
        wanted = Wanted(dependencies, plan.servers, python)
        environment = await self.workshop.environment(wanted, job)
        await self.workshop.warm(environment, {"flask"}, job)
        return await self.workshop.image(code, plan, digest_of(files), environment, job)

    def offer(self, attack: str) -> None:
        """Put the package `evil` among those that can be installed."""
        lines = attack.strip().splitlines()
        text = BACKEND.format(attack="\n    ".join(lines))
        with tarfile.open(self.packages / "evil-1.0.tar.gz", "w:gz") as tar:
            for name, content in {"backend.py": text, "pyproject.toml": PROJECT}.items():
                entry = tarfile.TarInfo(f"evil-1.0/{name}")
                entry.size = len(content.encode())
                tar.addfile(entry, io.BytesIO(content.encode()))
            metadata = b"Metadata-Version: 2.2\nName: evil\nVersion: 1.0\n"
            entry = tarfile.TarInfo("evil-1.0/PKG-INFO")
            entry.size = len(metadata)
            tar.addfile(entry, io.BytesIO(metadata))


def digest_of(files: dict[str, str]) -> str:
    return hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()


@pytest.fixture
async def bench(tmp_path: Path, docker_server: DockerServer) -> AsyncIterator[Any]:
    made: list[Bench] = []

    def make(**settings: Any) -> Bench:
        made.append(Bench(tmp_path, docker_server, **settings))
        return made[-1]

    yield make
    for one in made:
        assert await one.workshop.attempts() == set(), "containers were left"
        await one.workshop.close()
        await _remove(docker_server, one.workshop._names.mark)


async def _remove(server: DockerServer, mark: str) -> None:
    mine = {"label": [f"{LABEL}={mark}"]}
    async with Docker(server.url) as docker:
        await firewall.apply(docker, app_image.NAME, firewall.removal(Names(mark)))
        await docker.images.prune(filters={**mine, "dangling": ["false"]})
        for network in await docker.networks.list(filters=mine):
            await (await docker.networks.get(network["Name"])).delete()
        for volume in (await docker.volumes.list(filters=mine))["Volumes"] or []:
            await (await docker.volumes.get(volume["Name"])).delete()


def flask_app(word: str) -> dict[str, str]:
    return {"app.py": FLASK.format(word), "requirements.txt": "flask==3.1.3\n"}


async def test_a_push_changes_only_the_layers_that_it_must(
    bench: Any, docker_server: DockerServer
) -> None:
    one = bench()
    first = await one.build("first", flask_app("hello"))
    assert any(line.startswith("-----> Installing ") for line in one.said)
    second = await one.build("second", flask_app("again"))
    assert "-----> Environment unchanged: reused" in one.said
    assert await one.build("third", flask_app("again")) == second
    async with Docker(docker_server.url) as docker:
        shown = [await docker.images.inspect(image) for image in (first, second)]
        base = await docker.images.inspect(one.settings.docker_app_image)
    layers = [image["RootFS"]["Layers"] for image in shown]
    assert layers[0][:-1] == layers[1][:-1]
    assert layers[0][-1] != layers[1][-1]
    assert layers[0][: len(base["RootFS"]["Layers"])] == base["RootFS"]["Layers"]
    manifest = json.loads(shown[0]["Config"]["Labels"][MANIFEST])
    assert manifest["kind"] == "flask"
    assert "gunicorn" in manifest["process_types"]["web"]


async def test_what_nothing_needs_is_removed_and_the_rest_stays(
    bench: Any, docker_server: DockerServer
) -> None:
    one = bench()
    needed = await one.build("first", flask_app("hello"))
    other = await one.build("second", flask_app("again"))
    engine = DockerEngine(one.home, one.settings)
    try:
        assert await engine.discard({needed, other}, 0) == 0
        assert await engine.discard({needed}, 3600) == 0, "it is young"
        assert await engine.discard({needed}, 0) == 1
        assert (await engine.image(needed)).kind == "flask"
        with pytest.raises(NotFound):
            await engine.image(other)
        assert await one.build("third", flask_app("again"))
        assert "-----> Environment unchanged: reused" in one.said
        assert await engine.discard([], 0) == 3, "two images, and the environment of both"
    finally:
        await engine.close()


async def test_what_is_imported_is_compiled_and_nothing_of_the_build_is_kept(
    bench: Any, docker_server: DockerServer
) -> None:
    image = await bench().build("first", flask_app("hello"))
    script = "find /env -name 'app.*.pyc' | grep flask; ls -A /build /tmp; id -u; touch /env/x"
    config = {"Image": image, "Cmd": ["/bin/sh", "-c", script], "User": "10001"}
    async with Docker(docker_server.url) as docker:
        container = await docker.containers.create(config)
        try:
            await container.start()
            await container.wait()
            text = "".join(await container.log(stdout=True, stderr=True))
            shown = await docker.images.inspect(image)
        finally:
            await container.delete(force=True)
    assert "flask/__pycache__/app.cpython-3" in text
    assert "touch: cannot touch '/env/x'" in text
    lines = text.replace("/build:", "").replace("/tmp:", "").splitlines()
    assert sum(1 for line in lines if line and not line.startswith(("/env", "touch"))) == 1, text
    # The site's settings may hold a password for its index.
    variables = [variable.partition("=")[0] for variable in shown["Config"]["Env"] or []]
    assert not [name for name in variables if name.startswith("UV_")], variables


FORKS = """
while True:
    try:
        if os.fork() == 0:
            time.sleep(600)
    except OSError:
        time.sleep(0.01)
"""
HOSTILE = {
    "for ever": ("time.sleep(600)", "did not finish within"),
    "disk": (
        "for number in range(4000):\n    open(f'/tmp/../env/{number}', 'wb').write(b'x' * 2**20)\n"
        "time.sleep(60)",
        "wrote more than the 96 MB",
    ),
    "memory": ("hoard = [b'x' * 2**20 for _ in range(4000)]", "memory"),
}


@pytest.mark.parametrize("name", HOSTILE)
async def test_a_build_that_takes_too_much_is_ended_with_a_sentence(bench: Any, name: str) -> None:
    attack, said = HOSTILE[name]
    one = bench(**SMALL)
    one.offer(attack)
    began = time.monotonic()
    with pytest.raises(Invalid) as caught:
        await one.build("evil", {"app.py": "import flask\n" + FLASK, "requirements.txt": "evil\n"})
    assert said in caught.value.detail, (caught.value.detail, one.said)
    assert time.monotonic() - began < 60


async def test_a_build_that_forks_without_end_ends_itself_alone(bench: Any) -> None:
    one = bench(**{**SMALL, "builder_memory_mb": 1024})
    one.offer(FORKS)
    before, most = len(psutil.pids()), 0
    building = asyncio.create_task(
        one.build("evil", {"app.py": FLASK, "requirements.txt": "evil\n"})
    )
    while not building.done():
        most = max(most, len(psutil.pids()) - before)
        await asyncio.wait({building}, timeout=0.2)
    with pytest.raises(Invalid, match="did not finish"):
        await building
    assert PROCESSES / 2 < most < PROCESSES + 100


async def test_a_build_reaches_nothing_of_the_host(bench: Any) -> None:
    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"the host")
        writer.close()

    listening = await asyncio.start_server(answer, "0.0.0.0", 0)
    port = listening.sockets[0].getsockname()[1]
    one = bench(**SMALL)
    (one.home.parent / "secret").write_text("canary-9c2e")
    one.offer(f"""
import struct
route = [line.split() for line in open("/proc/net/route")][1:]
(gateway,) = [row[2] for row in route if row[1] == "00000000"]
gateway = socket.inet_ntoa(struct.pack("<L", int(gateway, 16)))
tries = {{
    "file": lambda: open("{one.home.parent}/secret").read(),
    "socket": lambda: os.stat("/var/run/docker.sock"),
    "shadow": lambda: open("/etc/shadow").read(),
    "base": lambda: open("/usr/bin/evil", "w"),
    "root": lambda: os.setuid(0),
    "device": lambda: os.mknod("/tmp/d", 0o20666, os.makedev(1, 1)),
    "host": lambda: socket.create_connection((gateway, {port}), timeout=3),
    "metadata": lambda: socket.create_connection(("169.254.169.254", 80), timeout=3),
}}
for name, attempt in tries.items():
    try:
        print("attempt", name, "=", attempt(), flush=True)
    except OSError as error:
        print("attempt", name, "= refused", error, flush=True)
""")
    with pytest.raises(Invalid):
        await one.build("evil", {"app.py": FLASK, "requirements.txt": "evil\n"})
    listening.close()
    told = [line.split("attempt ")[1] for line in one.said if "attempt " in line]
    found = dict(line.split(" = ", 1) for line in told)
    assert len(found) == 8, one.said
    assert all(result.startswith("refused") for result in found.values()), found
    assert not any("canary-9c2e" in line for line in one.said)


async def test_an_engine_without_the_base_says_who_has_to_do_what(bench: Any) -> None:
    one = bench(docker_app_image="moorage/app:none")
    with pytest.raises(Exception, match="make images"):
        await one.build("first", flask_app("hello"))


async def test_the_service_builds_for_the_engine_it_is_told(
    start_service: Any,
    bus_for: Any,
    database_for: Any,
    docker_server: DockerServer,
    tmp_path: Path,
    layout: Any,
) -> None:
    settings = {"docker_url": docker_server.url, "docker_networks": str(docker_server.networks)}
    await start_service("builder", engine="docker", **settings)
    pusher = Pusher(await bus_for("git_ingest"), tmp_path)
    database = await database_for("builder")
    deploy = await pusher.push("sales", flask_app("hello"))
    row = await ended(database, deploy, 60)
    assert row["state"] == "succeeded", (row["reason"], pusher.lines[deploy])
    async with Docker(docker_server.url) as docker:
        shown = await docker.images.inspect(row["image"])
    assert shown["Id"] == row["image"]
    assert [event.type for event in await published(database, deploy)] == [
        "build.started",
        "build.succeeded",
    ]
    await _remove(docker_server, shown["Config"]["Labels"][LABEL])
