"""Crashes, races and contrary apps, at every level that the engine can lock in."""

import asyncio
import json
import os
import signal
import socket
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from berth import Berth, until

from services.scheduler.engines import make
from services.scheduler.engines.protocol import Limits, host_of
from shared.errors import Invalid, NotFound

IDLE = "import os, time; os.write(1, b'up\\n'); time.sleep(600)"
GRACEFUL = """
import signal, sys, time
def end(*_):
    print('finishing'); time.sleep(0.3); print('finished'); sys.exit(0)
signal.signal(signal.SIGTERM, end)
print('up')
while True: time.sleep(0.05)
"""
STUBBORN = """
import ctypes, os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if os.fork() == 0:
    os.setsid()
    if os.fork(): os._exit(0)
ctypes.CDLL(None).prctl(15, b'bwrap', 0, 0, 0)
os.write(1, b'up\\n')
time.sleep(600)
"""


PASSWORD = "it's $(secret)\n\"second line\" \\'"
PASSWORD_HOLDER = f"import os\nassert os.environ['PASSWORD'] == {PASSWORD!r}\n" + IDLE


async def all_gone(berth: Berth) -> None:
    async def gone() -> bool:
        return not berth.processes()

    await until(gone, 3)


def main_process(berth: Berth) -> psutil.Process:
    (found,) = [p for p in berth.processes() if p.cmdline()[-1:] == ["app.py"]]
    return found


class TestEngine:
    async def test_starts_once_and_again_after_its_end(self, berth: Berth) -> None:
        first = await berth.start(IDLE)
        await berth.said("up")
        assert await berth.start(IDLE) == first
        await berth.engine.stop(first, 5)
        second = await berth.start("print('second')")
        assert second != first
        await berth.ended(second)
        lines = await berth.lines()
        assert (lines[0], lines[-1]) == ("up", "second")

    async def test_two_starts_at_the_same_time_start_one(self, berth: Berth) -> None:
        references = await asyncio.gather(*(berth.start(IDLE) for _ in range(3)))
        assert references[0] == references[1] == references[2]
        await berth.said("up")
        assert len([p for p in berth.processes() if p.cmdline()[-1:] == ["app.py"]]) == 1

    async def test_an_unknown_image_is_not_found(self, berth: Berth) -> None:
        with pytest.raises(NotFound):
            await berth.engine.image("sha256:" + "0" * 64)

    async def test_adopts_what_another_engine_started(self, berth: Berth) -> None:
        reference = await berth.start(IDLE)
        assert await berth.again().adopt() == {"sales.web.1-1": reference}
        assert (await berth.engine.poll(reference)).state == "running"
        await berth.engine.stop(reference, 5)
        assert await berth.engine.adopt() == {}

    async def test_a_new_engine_knows_how_it_ended(self, berth: Berth) -> None:
        reference = await berth.start("raise SystemExit(3)")
        await berth.ended(reference)
        status = await berth.again().poll(json.loads(json.dumps(reference)))
        assert (status.state, status.exit_code) == ("exited", 3)

    async def test_the_end_of_the_main_process_is_the_end_of_all(self, berth: Berth) -> None:
        reference = await berth.start("import os\nos.fork()\n" + IDLE)
        await berth.said("up")
        tree = [p for p in berth.processes() if p.cmdline()[-1:] == ["app.py"]]
        min(tree, key=lambda p: p.pid).kill()
        assert (await berth.ended(reference)).exit_code == 137
        await all_gone(berth)

    @pytest.mark.parametrize("command", ["exec python app.py", "python app.py; true"])
    async def test_sigterm_leaves_time_to_finish(self, berth: Berth, command: str) -> None:
        reference = await berth.start(GRACEFUL, command=command)
        await berth.said("up")
        await berth.engine.stop(reference, 10)
        assert "finished" in await berth.lines()
        assert (await berth.engine.poll(reference)).state == "exited"

    async def test_what_does_not_listen_is_killed_after_the_grace(self, berth: Berth) -> None:
        reference = await berth.start(STUBBORN)
        await berth.said("up")
        began = time.monotonic()
        await berth.engine.stop(reference, 0.5)
        assert 0.5 <= time.monotonic() - began < 4
        await all_gone(berth)

    async def test_stop_at_the_very_start_does_not_take_the_grace(self, berth: Berth) -> None:
        reference = await berth.start(IDLE)
        began = time.monotonic()
        await berth.engine.stop(reference, 20)
        assert time.monotonic() - began < 5

    async def test_another_process_of_the_same_pid_is_left_alone(self, berth: Berth) -> None:
        reference = await berth.start(IDLE)
        await berth.said("up")
        stale = {**reference, "started": "1", "instance": "sales.web.0-1"}
        await berth.engine.stop(stale, 1)
        assert (await berth.engine.stats(stale)).processes == 0
        assert (await berth.engine.poll(reference)).state == "running"

    async def test_values_reach_the_app_and_show_in_no_command(self, berth: Berth) -> None:
        await berth.start(PASSWORD_HOLDER, environment={"PASSWORD": PASSWORD})
        await berth.said("up")
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                assert "$(secret)" not in " ".join(process.cmdline())

    async def test_a_name_that_is_no_variable_is_said(self, berth: Berth) -> None:
        with pytest.raises(Invalid, match="X;id"):
            await berth.start(IDLE, environment={"X;id": "1"})

    async def test_logs_are_told_and_followed(self, berth: Berth) -> None:
        code = "import time\nfor n in range(600): print('line', n); time.sleep(0.02)"
        await berth.start(code)
        await berth.said("line 2")
        seen: list[str] = []
        async for line in berth.engine.logs("sales.web.1-1", 2, follow=True):
            seen.append(line)
            if len(seen) == 6:
                break
        first = int(seen[0].split()[1])
        assert seen == [f"line {first + n}" for n in range(6)]

    async def test_one_off_run(self, berth: Berth) -> None:
        code = "import os; print(os.getcwd()); print('y' * 2_000_000); os._exit(7)"
        spec = berth.spec(code)
        lines = [line async for line in berth.engine.execute(spec, ["python", "app.py"])]
        assert lines[0] == berth.shown_app
        assert "".join(lines[1:-1]) == "y" * 2_000_000
        assert lines[-1] == "exit-status: 7"

    async def test_a_one_off_run_ends_with_its_reader(self, berth: Berth) -> None:
        run = berth.engine.execute(berth.spec(STUBBORN), ["python", "app.py"])
        assert await anext(run) == "up"
        await run.aclose()
        await all_gone(berth)

    async def test_tells_where_it_listens_and_what_it_uses(self, berth: Berth) -> None:
        bind = berth.engine.bind
        code = f"import socket; s = socket.create_server(({bind!r}, 0))\n"
        code += "print(s.getsockname()[1]); print('up'); s.accept()"
        reference = await berth.start(code)
        await berth.said("up")
        port = int((await berth.lines())[0])
        assert await berth.engine.listening(reference) == [(bind, port)]
        stats = await berth.engine.stats(reference)
        assert stats.memory_bytes > 1_000_000
        assert stats.processes >= 1
        with socket.create_connection((host_of(reference), port)):
            pass

    async def test_too_much_memory_is_named(self, berth: Berth) -> None:
        if not berth.counts_memory:
            pytest.skip("control groups cannot be written to here, so nothing limits memory")
        limits = Limits(memory_bytes=64 << 20)
        reference = await berth.start("b = b'x' * (300 << 20); print('up')", limits=limits)
        status = await berth.ended(reference)
        assert (status.exit_code, status.reason) == (
            137,
            "it ran out of memory and was killed",
        )
        status = await berth.ended(await berth.start("raise SystemExit(2)", limits=limits))
        assert status.reason == "it ended with exit status 2"

    async def test_too_many_processes_are_refused(self, berth: Berth) -> None:
        if not berth.counts_processes:
            pytest.skip("only control groups or a sandbox count the processes of one instance")
        code = """
import os, time
for n in range(100):
    try:
        if os.fork() == 0: time.sleep(600)
    except OSError:
        print('refused'); break
time.sleep(600)
"""
        await berth.start(code, limits=Limits(processes=30))
        await berth.said("refused")
        assert len(berth.processes()) <= 34

    async def test_open_files_are_limited(self, berth: Berth) -> None:
        code = "import resource; print(resource.getrlimit(resource.RLIMIT_NOFILE))"
        await berth.ended(await berth.start(code, limits=Limits(open_files=77)))
        assert await berth.lines() == ["(77, 77)"]


class TestProcessEngine:
    """What only this engine has: notes, a log, and groups of its own."""

    async def test_nothing_runs_on_without_its_note_taker(self, process_berth: Berth) -> None:
        reference = await process_berth.start(IDLE)
        await process_berth.said("up")
        os.kill(reference["pid"], signal.SIGKILL)
        status = await process_berth.ended(reference)
        assert (status.state, status.exit_code) == ("exited", None)
        await all_gone(process_berth)

    async def test_an_apps_own_programs_stay_inside(self, process_berth: Berth) -> None:
        """Whatever a package calls its scripts, and whatever PATH or LD_PRELOAD say."""
        traces = process_berth.home / "traces"
        traces.mkdir()
        traces.chmod(0o777)
        for name in ("bwrap", "setpriv", "cat", "mv", "sh"):
            script = process_berth.scripts / name
            script.write_text(f"#!/bin/sh\n: > {traces}/{name}\nexec sleep 600\n")
            script.chmod(0o755)
        own = {"PATH": str(process_berth.scripts), "LD_PRELOAD": "/data/evil.so"}
        reference = await process_berth.start(IDLE, environment=own)
        await process_berth.said("up")
        assert list(traces.iterdir()) == []
        outside = psutil.Process(reference["pid"])
        locks = outside.children() if process_berth.engine.level == "bubblewrap" else []
        for process in (outside, *locks):
            assert "LD_PRELOAD" not in process.environ()

    async def test_logs_rotate_while_the_app_writes(self, process_berth: Berth) -> None:
        code = "for _ in range(1100): print('x' * 10_000)\nprint('much')\nimport time\n"
        await process_berth.start(code + "while True: print('more'); time.sleep(0.02)")
        await process_berth.said("much")
        await process_berth.engine.housekeep([])
        logs = process_berth.home / "apps" / "sales" / "logs"
        await process_berth.said("more")
        sizes = {path.name: path.stat().st_size for path in logs.iterdir()}
        assert sizes["sales.web.1-1.log"] < 100_000
        assert sizes["sales.web.1-1.log.1"] < 6_000_000

    async def test_remove_leaves_nothing(self, process_berth: Berth) -> None:
        reference = await process_berth.start(IDLE)
        await process_berth.engine.stop(reference, 5)
        await process_berth.engine.remove("sales.web.1-1")
        assert list((process_berth.home / "run" / "instances").iterdir()) == []
        assert list((process_berth.home / "apps" / "sales" / "logs").iterdir()) == []
        folders = process_berth.engine._cgroups.folders("sales.web.1-1")  # type: ignore[attr-defined]
        assert not any(folder.exists() for folder in folders)

    async def test_values_are_in_no_file(self, process_berth: Berth) -> None:
        await process_berth.start(PASSWORD_HOLDER, environment={"PASSWORD": PASSWORD})
        await process_berth.said("up")
        notes = process_berth.home / "run" / "instances" / "sales.web.1-1"
        assert all(b"$(secret)" not in path.read_bytes() for path in notes.iterdir())
        assert (notes / "instance.json").stat().st_mode & 0o777 == 0o600


def test_the_registry_needs_the_data_folder_alone(tmp_path: Path) -> None:
    class Settings:
        home = tmp_path

    assert make("process", Settings()).name == "process"
    with pytest.raises(Invalid, match="nowhere"):
        make("nowhere", Settings())
