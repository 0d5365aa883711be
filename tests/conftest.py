"""Real servers for the tests: the same wheels, settings and permissions as the embedded platform.

`nats_server` is private to a test (it starts in a tenth of a second); `postgres_server` is one
for the whole session, and `database_for` gives a service's own schema in a database of the test's.
`docker_server` is an engine of the session's own.
"""

import asyncio
import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio

from deploy.embedded import credentials, nats, postgres, probes
from deploy.embedded.children import Keeper
from deploy.embedded.layout import CHECKOUT, Layout
from deploy.embedded.platform import Child, service_environment
from shared.bus import Bus
from shared.database import Database
from shared.settings import Settings
from tests.harness import app_image
from tests.harness.docker import CannotStart, DockerServer, Missing

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # As a shell starts what runs in its background: programs under test would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def _template() -> Iterator[Layout]:
    """A data folder with credentials, made once."""
    folder = Path(tempfile.mkdtemp(prefix="mrg-"))
    layout = Layout(folder)
    layout.make()
    credentials.ensure(layout)
    yield layout
    shutil.rmtree(folder, ignore_errors=True)


class NatsServer:
    """A NATS server of the test's own, which it may stop, kill and start again."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.port = credentials.free_ports(1)[0]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = nats.command(self.layout, self.port)
        self._process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=(self.layout.logs / "nats.log").open("ab")
        )

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def lose_everything(self) -> None:
        """Stop, and lose what was stored."""
        self.kill()
        shutil.rmtree(self.layout.nats)
        self.layout.nats.mkdir()

    def settings(self, service: str, instance: str | None = None) -> Settings:
        """Settings of a process of `service` that uses this server."""
        return Settings(
            home=self.layout.home,
            instance=instance or f"{service}-1",
            listen=f"unix:{self.layout.run}/{instance or service}.sock",
            nats_url=f"tls://127.0.0.1:{self.port}",
            nats_seed_file=self.layout.keys / f"nats-{service}.seed",
            nats_ca_file=self.layout.keys / "ca.pem",
        )

    def _end(self, number: int) -> None:
        if self._process:
            self._process.send_signal(number)
            self._process.wait()
            self._process = None


@pytest.fixture
def layout(_template: Layout) -> Iterator[Layout]:
    """A data folder of the test's own."""
    folder = Path(tempfile.mkdtemp(prefix="mrg-"))
    made = Layout(folder)
    made.make()
    shutil.copytree(_template.keys, made.keys, dirs_exist_ok=True)
    for name in ("admin-password", "admin-token"):
        shutil.copy2(_template.home / name, made.home / name)
    yield made
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def nats_server(layout: Layout) -> Iterator[NatsServer]:
    server = NatsServer(layout)
    server.start()
    yield server
    server.kill()


BusFor = Callable[..., Awaitable[Bus]]


@pytest_asyncio.fixture
async def bus_for(nats_server: NatsServer) -> AsyncIterator[BusFor]:
    """`await bus_for("builder")`: that service's connection, with that service's permissions."""
    opened: list[Bus] = []

    async def connect(service: str, instance: str | None = None) -> Bus:
        settings = nats_server.settings(service, instance)
        bus = await asyncio.wait_for(Bus.connect_forever(settings, service), 20)
        opened.append(bus)
        return bus

    yield connect
    for bus in opened:
        with contextlib.suppress(Exception):
            await asyncio.wait_for(bus.close(), 5)


@pytest.fixture(scope="session")
def postgres_server(_template: Layout) -> Iterator[Layout]:
    """One PostgreSQL server for all tests; every test gets a database of its own in it."""
    postgres.initialise(_template)
    process = subprocess.Popen(
        [*postgres.command(_template), "--fsync=off"],
        stdout=subprocess.DEVNULL,
        stderr=(_template.logs / "postgres.log").open("ab"),
        **postgres.dropped_privileges(_template),  # type: ignore[call-overload]
    )
    asyncio.run(_provision(_template))
    yield _template
    process.send_signal(signal.SIGINT)
    process.wait()


async def _provision(layout: Layout) -> None:
    await probes.wait_postgres(layout)
    await postgres.provision(layout)


class TestDatabase:
    """A database of the test's own, with a schema for every service."""

    __test__ = False

    def __init__(self, layout: Layout, name: str) -> None:
        self.layout = layout
        self.name = name

    def url(self, service: str) -> str:
        return postgres.url(self.layout, service, self.name)

    def password_file(self, service: str) -> Path:
        return self.layout.keys / f"postgres-{service}"


@pytest_asyncio.fixture
async def test_database(postgres_server: Layout) -> AsyncIterator[TestDatabase]:
    """A fresh copy of the provisioned, empty database."""
    name = f"test_{secrets.token_hex(6)}"
    password = (postgres_server.keys / "postgres-postgres").read_text()
    admin = await asyncpg.connect(
        postgres.url(postgres_server, "postgres", "postgres"), password=password
    )
    await admin.execute(f"create database {name} template {postgres.DATABASE}")
    yield TestDatabase(postgres_server, name)
    await admin.execute(f"drop database {name} with (force)")
    await admin.close()


DatabaseFor = Callable[..., Awaitable[Database]]


@pytest_asyncio.fixture
async def database_for(test_database: TestDatabase) -> AsyncIterator[DatabaseFor]:
    """`await database_for("builder")`: that service's migrated schema, under its own role."""
    opened: list[Database] = []

    async def connect(service: str) -> Database:
        password = test_database.password_file(service).read_text()
        database = Database(test_database.url(service), service, password)
        await database.open(CHECKOUT / "services" / service / "migrations")
        opened.append(database)
        return database

    yield connect
    for database in opened:
        await database.close()


StartService = Callable[..., Awaitable[Keeper]]


@pytest_asyncio.fixture
async def start_service(
    nats_server: NatsServer, test_database: TestDatabase
) -> AsyncIterator[StartService]:
    """`await start_service("router")`: the real process, ready, on this test's servers."""
    layout = nats_server.layout
    running: list[tuple[Keeper, asyncio.Task[None]]] = []

    async def start(service: str, instance: str | None = None, **settings: str) -> Keeper:
        name = instance or f"{service}-1"
        environment = service_environment(layout, service, name)
        environment |= {
            "MOORAGE_NATS_URL": f"tls://127.0.0.1:{nats_server.port}",
            "MOORAGE_DATABASE_URL": test_database.url(service),
            "MOORAGE_DATABASE_PASSWORD_FILE": str(test_database.password_file(service)),
            **{f"MOORAGE_{key.upper()}": value for key, value in settings.items()},
        }
        module = "gateway" if service == "gateway" else f"services.{service}"
        child = Child(name, [sys.executable, "-m", module], environment)
        keeper = Keeper(layout, child)
        running.append((keeper, asyncio.create_task(keeper.run())))
        if service != "gateway":
            await probes.wait_for(name, lambda: probes.is_ready(layout.socket(name)), 30)
        return keeper

    yield start
    for keeper, task in running:
        await keeper.stop()
        task.cancel()


@pytest.fixture(scope="session")
def docker_server() -> Iterator[DockerServer]:
    """An engine of the tests' own, with the image that apps are built on.

    Where dockerd gives up on this kind of machine its tests are skipped, with what it said; where
    something is not installed they are skipped too, but never in CI.
    """
    try:
        server = DockerServer.make()
    except Missing as error:
        pytest.fail(str(error)) if os.environ.get("CI") else pytest.skip(str(error))
    try:
        server.start()
        app_image.ensure(server)
        yield server
    except CannotStart as error:
        pytest.skip(str(error))
    finally:
        server.remove()


@pytest.fixture(scope="session")
def docker_host(docker_server: DockerServer) -> str:
    """The URL of its socket, as for DOCKER_HOST."""
    return docker_server.url
