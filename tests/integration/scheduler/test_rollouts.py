"""From a build to a release with traffic, with the real process engine."""

import asyncio
import os
import signal

import pytest
from stage import until

from deploy.embedded.children import running_pid
from shared.events.catalogue import AppCreated, AppDeleted, ConfigChanged, PushCancelled

pytestmark = pytest.mark.asyncio


def kill(stage) -> None:
    pid = running_pid(stage.home / "run" / "scheduler-1.pid")
    assert pid
    os.kill(pid, signal.SIGKILL)


async def healthy(stage) -> bool:
    states = await stage.instances()
    return bool(states) and set(states.values()) == {"healthy"}


async def live(stage, version: str) -> bool:
    route = await stage.route()
    return bool(route.targets) and (await stage.get())["version"] == version


async def test_a_build_goes_live_once_the_gateway_routes_there(stage, start_service):
    await start_service("scheduler")
    await stage.publish("portal", AppCreated(app="sales", owner="ada"))
    await stage.push(stage.image("1"), "d1")
    done = await stage.outcome("d1")
    assert (done.TYPE, done.release, done.path) == ("deploy.succeeded", 1, "/sales/"), stage.said
    answer = await stage.get()
    environment = answer["environment"]
    assert answer["version"] == "1"
    assert environment["MOORAGE_APP"] == "sales"
    assert environment["MOORAGE_RELEASE"] == "1"
    assert environment["SCRIPT_NAME"] == "/sales"
    assert environment["HOST"] == "127.0.0.1"
    assert any("Release v1" in line for line in stage.said)
    assert any("healthy after" in line for line in stage.said)


async def test_the_old_instance_stops_when_it_is_drained_and_not_before(stage, start_service):
    await start_service("scheduler")
    await stage.push(stage.image("1"), "d1")
    await stage.outcome("d1")
    stage.draining = False
    await stage.push(stage.image("2"), "d2")
    done = await stage.outcome("d2")
    assert done.TYPE == "deploy.succeeded", "\n".join(stage.said)
    await asyncio.sleep(3)
    assert sorted((await stage.instances()).values()) == ["draining", "healthy"]
    assert (await stage.route()).retiring == ("sales.web.1-1",)
    stage.draining = True
    await until(lambda: healthy(stage))
    assert (await stage.route()).retiring == ()
    assert (await stage.get())["version"] == "2"


async def test_an_app_that_exits_is_refused_with_its_own_words(stage, start_service):
    await start_service("scheduler")
    await stage.push(stage.image("1"), "d1")
    await stage.outcome("d1")
    before = await stage.get()
    await stage.push(stage.image("2", extra="1 / 0"), "d2")
    done = await stage.outcome("d2")
    assert done.TYPE == "deploy.failed"
    assert "exit" in done.reason
    assert any("ZeroDivisionError" in line for line in stage.said)
    assert (await stage.get())["pid"] == before["pid"]
    await until(lambda: healthy(stage))


async def test_the_wrong_port_is_named(stage, start_service):
    await start_service("scheduler", health_timeout="3")
    wrong = "exec python -m http.server 28999 --bind 127.0.0.1"
    await stage.push(stage.image("1", command=wrong), "d1")
    done = await stage.outcome("d1")
    assert done.TYPE == "deploy.failed"
    assert "28999" in done.reason


async def test_a_crashed_instance_comes_back(stage, start_service):
    await start_service("scheduler")
    await stage.push(stage.image("1"), "d1")
    await stage.outcome("d1")
    await stage.get("/crash")

    async def again() -> bool:
        crashed = await stage.events("instance.crashed")
        return bool(crashed) and await healthy(stage)

    await until(again)
    assert (await stage.get())["pid"]


async def test_a_killed_scheduler_is_survived_by_apps_and_by_a_rollout(stage, start_service):
    await start_service("scheduler")
    await stage.push(stage.image("1"), "d1")
    await stage.outcome("d1")
    before = await stage.get()
    await stage.push(stage.image("2", delay=3), "d2")

    async def starting() -> bool:
        rows = await stage.database.fetch("select * from instances where state = 'starting'")
        return any(row["reference"] for row in rows)

    await until(starting)
    await asyncio.sleep(0.3)
    kill(stage)
    assert (await stage.get())["pid"] == before["pid"]
    assert (await stage.outcome("d2", 60)).TYPE == "deploy.succeeded", stage.said
    assert (await stage.get())["version"] == "2"
    await until(lambda: healthy(stage))


async def test_a_scheduler_that_starts_again_adopts_what_runs(stage, start_service):
    await start_service("scheduler")
    await stage.push(stage.image("1"), "d1")
    await stage.outcome("d1")
    before = await stage.get()
    kill(stage)
    await asyncio.sleep(4)
    assert (await stage.get())["pid"] == before["pid"]
    assert await healthy(stage)


async def test_new_config_during_a_push_keeps_the_pushed_code(stage, start_service):
    await start_service("scheduler")
    await stage.push(stage.image("1"), "d1")
    await stage.outcome("d1")
    await stage.push(stage.image("2", delay=1), "d2")

    async def rolling() -> bool:
        return bool(await stage.database.fetch("select from rollouts where state = 'running'"))

    await until(rolling)
    await stage.publish("secrets", ConfigChanged(app="sales", version=1, names=("K",), actor="ada"))
    done = await stage.outcome("d2")
    assert done.TYPE == "deploy.succeeded", "\n".join(stage.said)

    async def settled() -> bool:
        left = await stage.database.fetchval(
            "select count(*) from rollouts where state in ('queued', 'running', 'activated')"
        )
        rolled = await stage.database.fetchval("select count(*) from rollouts")
        return rolled == 3 and left == 0 and await live(stage, "2")

    await until(settled)


async def test_a_cancelled_push_leaves_what_runs(stage, start_service):
    await start_service("scheduler")
    await stage.push(stage.image("1"), "d1")
    await stage.outcome("d1")
    await stage.push(stage.image("2", delay=30), "d2")
    await until(lambda: _has_two(stage))
    await stage.publish(
        "git_ingest", PushCancelled(app="sales", deploy_id="d2", reason="superseded")
    )
    assert (await stage.outcome("d2")).TYPE == "deploy.failed"
    await until(lambda: healthy(stage))
    assert await live(stage, "1")


async def _has_two(stage) -> bool:
    return len(await stage.instances()) == 2


async def test_a_deleted_app_stops_and_its_name_is_free(stage, start_service):
    await start_service("scheduler")
    await stage.publish("portal", AppCreated(app="sales", owner="ada"))
    await stage.push(stage.image("1"), "d1")
    await stage.outcome("d1")
    await stage.publish("portal", AppDeleted(app="sales"))
    await stage.publish("portal", AppCreated(app="sales", owner="eve"))
    await stage.push(stage.image("2"), "d2")
    done = await stage.outcome("d2")
    assert done.TYPE == "deploy.succeeded", "\n".join(stage.said)
    await until(lambda: healthy(stage))
    assert await live(stage, "2")
    assert len(await stage.instances()) == 1
