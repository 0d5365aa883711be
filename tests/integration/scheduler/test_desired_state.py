"""What the rows say: fencing, names used again, silence of the bus. A real database, no process."""

import socket
from types import SimpleNamespace

import pytest
import pytest_asyncio

from services.scheduler import store
from services.scheduler.config import Config
from services.scheduler.handlers import HANDLERS
from services.scheduler.operations import Operations
from services.scheduler.reconciler import Reconciler
from services.scheduler.starting import Starter
from shared.events import new_event
from shared.events.catalogue import (
    AppCreated,
    AppDeleted,
    BuildSucceeded,
    ConfigChanged,
    InstanceDrained,
)

pytestmark = pytest.mark.asyncio

SETTINGS = SimpleNamespace(
    memory_limit_mb=None,
    cpu_limit=None,
    process_limit=None,
    open_files_limit=None,
    public_url="http://localhost",
    stop_grace=1.0,
)


class NoProcesses:
    """An engine as its protocol has it, without a process behind it."""

    bind = "127.0.0.1"
    shares_network = True

    def __init__(self) -> None:
        self.ports: dict[str, int] = {}
        self.stopped: list[str] = []

    async def image(self, _):
        return SimpleNamespace(process_types={"web": "x"}, prefix_env={})

    async def start(self, spec):
        self.ports.setdefault(spec.instance, spec.port)
        return {"instance": spec.instance}

    async def stop(self, reference, _):
        self.stopped.append(reference["instance"])

    async def adopt(self):
        return {name: {"instance": name} for name in self.ports}


class Room:
    """The scheduler's rows, moved as its workers move them."""

    def __init__(self, database) -> None:
        self.database = database
        self.engine = NoProcesses()
        self.starter = Starter(self.engine, database, SimpleNamespace(), SETTINGS)
        self.operations = Operations(database, self.starter)

    async def hear(self, data) -> None:
        async with self.database.transaction() as tx:
            await HANDLERS[data.TYPE](new_event("test", data), tx, None)

    async def built(self, image: str) -> None:
        built = BuildSucceeded(
            app="sales", deploy_id=f"d-{image}", build_id=f"b-{image}", image=image, kind="flask",
            process_types={"web": "x"}, commit="c", author="a", message="m", pusher="ada",
        )  # fmt: skip
        await self.hear(built)

    async def config_changed(self) -> None:
        await self.hear(ConfigChanged(app="sales", version=2, names=("K",), actor="ada"))

    async def claim(self):
        return await store.claim_rollout(self.database, "worker")

    async def begin(self, rollout):
        """Its instance's row."""
        async with self.database.transaction() as tx:
            await store.add_instance(
                tx, rollout, rollout["release"], "web", rollout["generation"], 1
            )
        [row] = await store.generation_instances(
            self.database, rollout["app"], rollout["generation"]
        )
        return row

    async def finish(self, rollout) -> None:
        row = await self.begin(rollout)
        async with self.database.transaction() as tx:
            await store.mark_healthy(tx, row["instance"])
            await store.activate(tx, rollout)
            await store.finish_rollout(tx, rollout, "succeeded")

    async def fail(self, rollout) -> None:
        async with self.database.transaction() as tx:
            await store.finish_rollout(tx, rollout, "failed", "no")

    async def deploy(self, image: str) -> None:
        await self.built(image)
        await self.finish(await self.claim())

    async def start(self, row):
        release = await store.release(self.database, row["app"], row["release"])
        return await self.starter.start(row, release, Config(0, {}))

    async def live_image(self) -> str:
        return await self.database.fetchval(
            "select image from releases r join apps a on a.app = r.app"
            " and a.live_release = r.release where a.app = 'sales'"
        )


@pytest_asyncio.fixture
async def room(database_for):
    made = Room(await database_for("scheduler"))
    await made.hear(AppCreated(app="sales", owner="ada"))
    return made


async def test_a_restart_asked_for_during_a_deploy_restarts_the_new_code(room):
    await room.deploy("one")
    await room.built("two")
    deploying = await room.claim()
    await room.operations.restart("sales")
    await room.finish(deploying)
    await room.finish(await room.claim())
    assert await room.live_image() == "two"


async def test_new_config_during_a_deploy_keeps_the_new_code(room):
    await room.deploy("one")
    await room.built("two")
    deploying = await room.claim()
    await room.config_changed()
    await room.finish(deploying)
    await room.finish(await room.claim())
    assert await room.live_image() == "two"


async def test_new_config_reaches_the_app_though_a_waiting_deploy_fails(room):
    await room.deploy("one")
    await room.built("two")
    await room.config_changed()
    await room.fail(await room.claim())
    assert (await room.claim())["kind"] == "config"
    assert await room.live_image() == "one"


async def test_several_changes_of_config_that_wait_are_one_rollout(room):
    await room.deploy("one")
    await room.config_changed()
    await room.config_changed()
    await room.finish(await room.claim())
    assert await room.claim() is None


async def test_a_rollback_goes_to_other_code_and_not_to_older_config(room):
    await room.deploy("one")
    await room.deploy("two")
    await room.config_changed()
    await room.finish(await room.claim())
    await room.operations.roll_back("sales", None, "ada")
    await room.finish(await room.claim())
    assert await room.live_image() == "one"


async def test_images_are_needed_that_run_or_can_be_rolled_back_to(room):
    for image in ("one", "two", "three"):
        await room.deploy(image)
    assert await store.needed_images(room.database, 20) == {"one", "two", "three"}
    assert "one" in await store.needed_images(room.database, 1), "it is still being drained"
    await room.database.execute("delete from instances where release < 3")
    assert await store.needed_images(room.database, 2) == {"two", "three"}
    await room.operations.roll_back("sales", 1, "ada")
    assert await store.needed_images(room.database, 1) == {"one", "three"}, "one is about to start"
    await room.finish(await room.claim())
    await room.hear(AppDeleted(app="sales"))
    assert await store.needed_images(room.database, 20) == set()


async def test_one_that_runs_already_keeps_its_port(room):
    await room.built("one")
    row = await room.begin(await room.claim())
    await room.start(row)
    with socket.socket() as app:
        app.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        app.bind(("127.0.0.1", room.engine.ports[row["instance"]]))
        app.listen()
        again = await room.start(row)
    assert again["port"] == room.engine.ports[row["instance"]]


async def test_ports_that_strangers_have_are_passed_over(room):
    await room.built("one")
    row = await room.begin(await room.claim())
    with socket.socket() as first, socket.socket() as second:
        for taken, port in ((first, row["port"]), (second, row["port"] + 1)):
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                taken.bind(("127.0.0.1", port))
                taken.listen()
            except OSError:
                pass  # a stranger of this machine has it in earnest
        started = await room.start(row)
    assert started["port"] not in (row["port"], row["port"] + 1)
    assert started["port"] == room.engine.ports[row["instance"]]


async def test_a_new_app_by_an_old_name_has_instances_of_its_own(room):
    await room.deploy("one")
    await room.hear(AppDeleted(app="sales"))
    await room.hear(AppCreated(app="sales", owner="eve"))
    await room.built("two")
    assert (await room.begin(await room.claim()))["state"] == "starting"


async def test_a_build_that_ends_after_its_app_was_deleted_starts_nothing(room):
    await room.hear(AppDeleted(app="sales"))
    await room.built("one")
    assert await room.claim() is None


async def test_what_starts_during_adoption_is_spared(room):
    await room.built("one")
    rollout = await room.claim()
    adopt = room.engine.adopt

    async def adopting():
        await room.start(await room.begin(rollout))
        return await adopt()

    room.engine.adopt = adopting
    reconciler = Reconciler(room.database, room.starter, SimpleNamespace(sure=False))
    await reconciler._adopt()
    assert room.engine.stopped == []


async def test_an_instance_stops_once_every_gateway_drained_it(room):
    await replaced(room, "gateway-1", "gateway-2")
    await drained_by(room, "gateway-1")
    assert await store.drained(room.database, sure=True) == []
    await drained_by(room, "gateway-2")
    assert [row["instance"] for row in await store.drained(room.database, sure=False)] == [
        "sales.web.1-1"
    ]


async def test_silence_stops_nothing_unless_it_is_surely_the_gateways_own(room):
    await replaced(room, "gateway-1")
    await room.database.execute("update gateways set seen_at = now() - interval '6 minutes'")
    assert await store.drained(room.database, sure=False) == []
    assert len(await store.drained(room.database, sure=True)) == 1


async def replaced(room, *gateways: str) -> None:
    """A draining instance, announced to these gateways."""
    for gateway in gateways:
        await store.gateway_seen(room.database, gateway)
    await room.deploy("one")
    await room.deploy("two")
    async with room.database.transaction() as tx:
        await store.note_drain_revision(tx, "sales", 7)


async def drained_by(room, gateway: str) -> None:
    await room.hear(
        InstanceDrained(app="sales", instance="sales.web.1-1", revision=7, gateway=gateway)
    )
