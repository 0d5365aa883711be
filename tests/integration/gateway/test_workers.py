"""Several workers under one parent: replaced, killed, orphaned, stopped; nobody notices."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from gateway import handover
from gateway.control import ask_siblings
from gateway.selfreport import Told
from tests.integration.gateway import fleet as fleets
from tests.integration.gateway.fleet import Fleet, Load, WebSocket, fetch, until

DRAIN_SECONDS = 4.0


@pytest_asyncio.fixture
async def backend() -> AsyncIterator[str]:
    async with fleets.backend() as address:
        yield address


@pytest_asyncio.fixture
async def fleet(tmp_path: Path, backend: str) -> AsyncIterator[Fleet]:
    """Two workers, accepting."""
    made = Fleet(tmp_path, backend, gateway_workers=2, drain_seconds=DRAIN_SECONDS)
    try:
        await made.start(workers=2)
        yield made
    finally:
        made.end()


async def test_fresh_workers_under_load_cut_nothing(fleet: Fleet) -> None:
    before = fleet.living
    load = Load(fleet)
    load.begin()
    reader, writer = await fleet.connect()
    download = asyncio.create_task(fetch(reader, writer, "/a/slow?12"))
    await until(lambda: load.answered > 50)
    await fleet.renew()
    assert not set(before) & fleet.accepting
    answered = load.answered
    await until(lambda: load.answered > answered + 50)
    await load.end()
    assert load.failures == []
    assert set(before) & set(fleet.living), "the download was over before it could be cut"
    _, body = await asyncio.wait_for(download, 30)
    assert len(body) == 12 * 20 * 10_000
    writer.close()
    await until(lambda: not any(_runs(pid) for pid in before.values()))
    assert not set(before) & set(fleet.living)


async def test_websockets_outlive_their_worker_until_the_deadline(fleet: Fleet) -> None:
    sockets = [await WebSocket.open(fleet) for _ in range(8)]
    await fleet.renew()
    renewed = time.monotonic()
    # The second slot's worker retired last, a moment ago; the first one's some time before.
    lasted = []
    for one in sockets:
        while await asyncio.wait_for(one.echo(b"still there"), 15):
            lasted.append(one)
            await asyncio.sleep(0.1)
        assert one.code == 1012
    assert lasted, "no socket outlived the restart"
    assert time.monotonic() - renewed < DRAIN_SECONDS + 15


async def test_a_killed_worker_costs_its_own_connections_alone(fleet: Fleet) -> None:
    sockets = [await WebSocket.open(fleet) for _ in range(16)]
    name, pid = sorted(fleet.living.items())[0]
    os.kill(pid, signal.SIGKILL)
    killed = time.monotonic()
    answers = await asyncio.gather(*(fleet.get() for _ in range(40)))
    print(f"40 answers {time.monotonic() - killed:.2f} s after the kill")
    assert answers == [b"ok"] * 40
    await until(lambda: len(fleet.accepting) == 2)
    assert name not in fleet.living
    left = [one for one in sockets if await _echoes(one)]
    assert 0 < len(left) < len(sockets)


async def test_the_parent_is_killed_and_another_takes_the_sockets_over(fleet: Fleet) -> None:
    before = fleet.living
    load = Load(fleet)
    load.begin()
    await until(lambda: load.answered > 20)
    fleet.parent.kill()
    fleet.parent.wait()
    answered = load.answered
    await until(lambda: load.answered > answered + 50)
    assert fleet.living == before
    await fleet.start(workers=2)
    await until(lambda: not set(before) & set(fleet.living))
    answered = load.answered
    await until(lambda: load.answered > answered + 50)
    await load.end()
    assert load.failures == []


async def test_sockets_of_more_workers_than_before_are_all_kept(fleet: Fleet) -> None:
    """Another parent with fewer workers leaves no queue without somebody who accepts from it."""
    fleet.parent.kill()
    fleet.parent.wait()
    fleet.environment["MOORAGE_GATEWAY_WORKERS"] = "1"
    await fleet.start(workers=1)
    await until(lambda: len(fleet.living) == 1)
    assert [await fleet.get() for _ in range(40)] == [b"ok"] * 40


async def test_a_worker_killed_after_the_parent_is_replaced_by_the_next(fleet: Fleet) -> None:
    fleet.parent.kill()
    fleet.parent.wait()
    for pid in fleet.living.values():
        os.kill(pid, signal.SIGKILL)
    await until(lambda: not fleet.living)
    assert handover.names(fleet.folder), "nothing was left behind that could be in the way"
    await fleet.start(workers=2)
    assert len(handover.names(fleet.folder)) == 2
    assert await fleet.get() == b"ok"


async def test_stopping_ends_everything(fleet: Fleet) -> None:
    pids = list(fleet.living.values())
    reader, writer = await fleet.connect()
    answer = asyncio.create_task(fetch(reader, writer, "/a/slow?2"))
    await asyncio.sleep(0.2)
    socket = await WebSocket.open(fleet)
    assert await fleet.stop() == 0
    assert len((await answer)[1]) == 2 * 20 * 10_000
    assert not await socket.echo(b"?")
    assert socket.code == 1012
    assert not any(_runs(pid) for pid in pids)
    assert handover.names(fleet.folder) == []
    with pytest.raises(ConnectionRefusedError):
        await fleet.connect()
    writer.close()


async def test_stopping_reaches_workers_whose_parent_was_killed(fleet: Fleet) -> None:
    """A worker alone stops by SIGTERM as well, and removes its socket."""
    fleet.parent.kill()
    fleet.parent.wait()
    for pid in fleet.living.values():
        os.kill(pid, signal.SIGTERM)
    await until(lambda: not handover.names(fleet.folder))


async def test_a_second_parent_is_told_that_there_is_one(fleet: Fleet) -> None:
    first = fleet.parent
    fleet.launch()
    second, fleet.parent = fleet.parent, first
    await until(lambda: second.poll() is not None)
    assert second.returncode == 2
    assert "gateway-1 runs already" in fleet.log
    assert len(fleet.accepting) == 2


async def test_a_port_that_is_taken_is_said_in_one_sentence(tmp_path: Path, backend: str) -> None:
    fleet = Fleet(tmp_path, backend, port=backend.rpartition(":")[2])
    fleet.launch()
    await until(lambda: fleet.parent.poll() is not None)
    assert fleet.parent.returncode == 2
    assert "cannot be listened on" in fleet.log
    assert "Traceback" not in fleet.log


async def test_workers_that_cannot_start_leave_the_old_ones_alone(fleet: Fleet) -> None:
    """An upgrade to code that does not start costs nothing."""
    before = fleet.accepting
    # What the workers are started with has gone: as if the new code were broken.
    (fleet.home / "gateway").mkdir(exist_ok=True)
    (fleet.home / "gateway" / "worker.py").write_text("raise SystemExit(3)\n")
    (fleet.home / "gateway" / "__init__.py").touch()
    fleet.parent.send_signal(signal.SIGHUP)
    await until(lambda: "a fresh worker did not start" in fleet.log)
    assert fleet.accepting == before
    assert await fleet.get() == b"ok"


async def test_siblings_are_asked_for_their_counters(fleet: Fleet) -> None:
    for _ in range(20):
        await fleet.get()
    found = await ask_siblings(fleet.folder)
    assert len(found) == 2
    assert len({one["name"] for one in found}) == 2
    assert sum(_answered(one) for one in found) == 20
    stopped = sorted(fleet.living.values())[0]
    os.kill(stopped, signal.SIGSTOP)
    try:
        assert len(await ask_siblings(fleet.folder, 0.3)) == 1
    finally:
        os.kill(stopped, signal.SIGCONT)


async def test_a_folder_with_a_long_name(tmp_path: Path, backend: str) -> None:
    home = tmp_path / ("h" * 120)
    home.mkdir()
    fleet = Fleet(home, backend)
    try:
        await fleet.start(workers=1)
        assert await fleet.get() == b"ok"
        modes = [path.stat().st_mode & 0o777 for path in Path(fleet.folder).glob("*.sock")]
        assert modes == [0o600]
    finally:
        fleet.end()


def _answered(told: Told) -> int:
    """Requests to the app that a worker has counted."""
    app = told["traffic"]["apps"].get("a", {"durations": {}})
    return sum(sum(histogram[:-1]) for histogram in app["durations"].values())


async def _echoes(one: WebSocket) -> bool:
    try:
        return await asyncio.wait_for(one.echo(b"?"), 10)
    except (OSError, asyncio.IncompleteReadError):
        return False


def _runs(pid: int) -> Any:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
