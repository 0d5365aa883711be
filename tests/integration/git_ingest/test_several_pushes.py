"""Pushes that meet: superseded, interrupted, orphaned; and a big one, in little memory."""

import asyncio
import os
import signal
from pathlib import Path

from deploy.embedded.children import running_pid
from shared.errors import Unavailable
from tests.integration.git_ingest.stage import Stage


async def live(stage, event):
    await stage.succeed(event)


async def wait_pushed(stage: Stage, count: int) -> None:
    await stage.until(lambda: len(stage.pushed), lambda found: found >= count)


async def start_push(stage: Stage, folder: Path, *options: str):
    return await stage.start_git("push", *options, stage.url("sales"), "main", cwd=folder)


async def output(child) -> str:
    text, _ = await asyncio.wait_for(child.communicate(), 60)
    return text.decode()


async def test_newer_push_supersedes_the_older(stage: Stage):
    folder = await stage.work()
    older = await start_push(stage, folder)
    await wait_pushed(stage, 1)
    await stage.commit(folder, app__py="print(2)\n")
    newer = await start_push(stage, folder)
    await stage.until(lambda: len(stage.cancelled))
    assert stage.cancelled[0].data.reason == "superseded"
    assert stage.cancelled[0].data.deploy_id == stage.pushed[0].data.deploy_id
    assert len(stage.pushed) == 1  # the newer waits until the older has ended
    await stage.fail_build(stage.pushed[0], "cancelled")
    text = await output(older)
    assert older.returncode == 1
    assert "remote: A newer push supersedes this one, which was not deployed." in text
    await wait_pushed(stage, 2)
    await stage.succeed(stage.pushed[1])
    text = await output(newer)
    assert newer.returncode == 0, text
    assert "remote: An older push of sales by ann is under way; this one supersedes it." in text
    assert await stage.remote_main() == await stage.rev(folder, "HEAD")


async def test_newer_push_is_refused_when_the_older_went_live_after_all(stage: Stage):
    folder = await stage.work()
    older = await start_push(stage, folder)
    await wait_pushed(stage, 1)
    first = await stage.rev(folder, "HEAD")
    await stage.commit(folder, app__py="print(2)\n")
    newer = await start_push(stage, folder)
    await stage.until(lambda: len(stage.cancelled))
    await stage.succeed(stage.pushed[0])
    assert "remote: sales is live" in await output(older)
    text = await output(newer)
    assert newer.returncode == 1
    assert "remote: main moved while you were pushing; git pull, then push again." in text
    assert await stage.remote_main() == first
    assert len(stage.pushed) == 1


async def test_superseded_push_that_nobody_answers_gives_way(stage_for):
    stage = await stage_for(superseded_grace="1")
    folder = await stage.work()
    older = await start_push(stage, folder)
    await wait_pushed(stage, 1)
    await stage.commit(folder, app__py="print(2)\n")
    stage.answer = live
    newer = await start_push(stage, folder)
    assert "remote: A newer push supersedes this one" in await output(older)
    await output(newer)
    assert (older.returncode, newer.returncode) == (1, 0)


async def test_a_bad_push_supersedes_nothing(stage: Stage):
    folder = await stage.work()
    older = await start_push(stage, folder)
    await wait_pushed(stage, 1)
    os.symlink("/etc/passwd", folder / "link")
    await stage.commit(folder)
    assert (await stage.push(folder)).status == 1
    assert stage.cancelled == []
    await stage.succeed(stage.pushed[0])
    await output(older)
    assert older.returncode == 0


async def test_interrupted_push_is_cancelled(stage: Stage):
    folder = await stage.work()
    child = await start_push(stage, folder)
    await wait_pushed(stage, 1)
    os.killpg(child.pid, signal.SIGINT)
    await child.wait()
    await stage.until(lambda: len(stage.cancelled))
    assert stage.cancelled[0].data.reason == "disconnected"
    (row,) = await stage.until(stage.rows, lambda rows: rows[0]["ended_at"])
    assert row["outcome"] == "cancelled"
    assert await stage.remote_main() == ""
    assert await stage.until(stage.leftovers, lambda found: found == []) == []
    stage.answer = live
    assert (await stage.push(folder)).status == 0


async def test_interrupted_upload_leaves_nothing(stage: Stage):
    folder = await stage.work()
    (folder / "noise").write_bytes(os.urandom(40_000_000))
    await stage.commit(folder)
    await stage.make_app("sales")
    child = await start_push(stage, folder)
    objects = stage.home / "git" / "sales.git" / "objects"
    await stage.until(lambda: list(objects.glob("tmp_objdir*/pack/tmp_pack*")))
    os.killpg(child.pid, signal.SIGKILL)
    await child.wait()
    assert await stage.until(stage.leftovers, lambda found: found == []) == []
    assert await stage.rows() == []


def pid_of(stage: Stage) -> int:
    return running_pid(stage.home / "run" / "git_ingest-1.pid")


async def test_killed_service_refuses_its_pushes_and_cancels_them_later(stage: Stage):
    folder = await stage.work()
    child = await start_push(stage, folder)
    await wait_pushed(stage, 1)
    os.kill(pid_of(stage), signal.SIGKILL)
    await output(child)
    assert child.returncode != 0
    await stage.until(lambda: len(stage.cancelled), seconds=30)
    assert stage.cancelled[0].data.reason == "disconnected"
    assert await stage.remote_main() == ""
    assert await stage.until(stage.leftovers, lambda found: found == []) == []
    stage.answer = live
    assert (await stage.push(folder)).status == 0


async def test_stopped_service_tells_its_pushers(stage: Stage):
    folder = await stage.work()
    child = await start_push(stage, folder)
    await wait_pushed(stage, 1)
    stopping = asyncio.create_task(stage.keeper.stop())
    text = await output(child)
    await stopping
    assert child.returncode == 1
    assert "remote: Not deployed: the platform is being restarted; push again" in text
    assert (await stage.rows())[0]["ended_at"]


async def test_two_processes_share_the_work(stage: Stage, start_service, layout):
    """The other process may be the one that hears how a push ended."""
    await start_service("git_ingest", "git_ingest-2")
    folder = await stage.work()
    child = await start_push(stage, folder)
    await wait_pushed(stage, 1)
    os.kill(pid_of(stage), 0)
    await stage.succeed(stage.pushed[0])
    assert "remote: sales is live" in await output(child)


def memory(pid: int) -> dict[str, int]:
    """Resident megabytes of a process: now and at its peak."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    found = dict(line.split(":", 1) for line in lines)
    return {key: int(found[key].split()[0]) // 1024 for key in ("VmRSS", "VmHWM")}


async def test_sixty_megabytes_pass_through_little_memory(stage: Stage):
    stage.answer = live
    folder = await stage.work()
    for number in range(6):
        (folder / f"noise{number}").write_bytes(os.urandom(10_000_000))
    await stage.commit(folder)
    before = memory(pid_of(stage))
    result = await stage.push(folder)
    assert result.status == 0, result.text
    clone = await stage.git("clone", "-q", stage.url("sales"), "copy")
    assert clone.status == 0, clone.text
    after = memory(pid_of(stage))
    print(f"git_ingest: {before} MB before, {after} MB after a push and a clone of 60 MB")
    assert (stage.folder / "copy" / "noise5").stat().st_size == 10_000_000
    assert after["VmHWM"] < 100


async def test_push_outlives_the_bus(stage: Stage, nats_server):
    folder = await stage.work()
    child = await start_push(stage, folder)
    await wait_pushed(stage, 1)
    nats_server.kill()
    nats_server.start()

    async def succeed() -> bool:
        try:
            await stage.succeed(stage.pushed[0])
        except Unavailable:
            return False
        return True

    await stage.until(succeed, seconds=40)
    text = await output(child)
    assert child.returncode == 0, text
