"""The access log."""

import asyncio
import fcntl
import json
import os
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gateway import accesslog
from gateway.accesslog import KEPT, AccessLog, append, whence, write_out

TRACE = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"


def entry(**changes: Any) -> dict[str, Any]:
    made = {
        "at": 1_800_000_000.25,
        "whence": whence("1.1.1.1", "ann", "sales", target="sales.web.1", method="GET"),
        "path": b"/sales/",
        "minor": 1,
        "status": 200,
        "received": 1,
        "sent": 2,
        "seconds": 0.5,
        "trace": TRACE,
        "how": "done",
    }
    return made | changes


def line(worker: str, **changes: Any) -> bytes:
    log = AccessLog("-", worker)
    log.note(**entry(**changes))
    return log._waiting[0]


def test_a_line_says_who_asked_for_what_and_what_came_of_it() -> None:
    assert json.loads(line("gateway-1-0-7")) == {
        "time": "2027-01-15T08:00:00.250Z",
        "client": "1.1.1.1",
        "user": "ann",
        "app": "sales",
        "service": None,
        "target": "sales.web.1",
        "method": "GET",
        "path": "/sales/",
        "protocol": "HTTP/1.1",
        "status": 200,
        "received": 1,
        "sent": 2,
        "seconds": 0.5,
        "trace": "4bf92f3577b34da6a3ce929d0e0e4736",
        "how": "done",
        "worker": "gateway-1-0-7",
    }


def test_nothing_in_a_request_begins_a_line() -> None:
    path = b'/a\r\n{"forged": 1}\xff\xfe\x00'
    text = line("w", path=path, whence=whence('x"\n'), trace=b"", status=0)
    assert text.count(b"\n") == 1
    said = json.loads(text)
    assert said["path"].startswith("/a\r\n")
    assert (said["trace"], said["status"]) == (None, None)
    assert len(json.loads(line("w", path=b"/" * 9999))["path"]) == 1024


async def test_it_is_written_in_order_and_survives_a_rotation_from_outside(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "access.log"
    log = AccessLog(str(path), "w")
    log.note(**entry(path=b"/1"))
    log.note(**entry(path=b"/2"))
    await log.flush()
    path.rename(tmp_path / "moved")
    log.note(**entry(path=b"/3"))
    await log.flush()
    await log.flush()
    assert [one["path"] for one in read(tmp_path / "moved")] == ["/1", "/2"]
    assert [one["path"] for one in read(path)] == ["/3"]


def test_workers_that_write_and_rotate_together_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    text = b'{"path":"%b"}\n' % (b"x" * 100)

    def write() -> None:
        for _ in range(60):
            append(path, text, largest=100 * len(text))

    writers = [threading.Thread(target=write) for _ in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    files = list(tmp_path.iterdir())
    assert sum(len(read(one)) for one in files) == 240
    assert {one.name for one in files} == {"access.log", "access.log.1", "access.log.2"}


_WRITER = """
import sys
from pathlib import Path
from gateway.accesslog import append
path, number = Path(sys.argv[1]), int(sys.argv[2])
for batch in range(80):
    form = b'{"writer":%d,"batch":%d,"line":%d}\\n'
    text = b"".join(form % (number, batch, at) for at in range(1 + batch))
    append(path, text, largest=20_000, kept=1000)
"""


def test_processes_that_write_and_rotate_together_lose_and_tear_nothing(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    arguments = [sys.executable, "-c", _WRITER, str(path)]
    writers = [subprocess.Popen([*arguments, str(number)]) for number in range(4)]
    assert [writer.wait(60) for writer in writers] == [0] * 4
    files = list(tmp_path.iterdir())
    seen = [tuple(one.values()) for file in files for one in read(file)]
    assert len(seen) == len(set(seen)) == 4 * sum(range(1, 81))
    assert len(files) > 10
    assert all(file.stat().st_size <= 20_000 for file in files)
    rotated = [int(file.suffix[1:]) for file in files if file != path]
    assert sorted(rotated) == list(range(1, len(files)))


def test_half_a_line_of_a_killed_worker_spoils_no_other(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    path.write_bytes(b'{"whole":1}\n{"ha')
    append(path, b'{"whole":2}\n', largest=10_000)
    append(path, b'{"whole":3}\n', largest=10_000)
    assert path.read_bytes() == b'{"whole":1}\n{"ha\n{"whole":2}\n{"whole":3}\n'


def test_old_files_are_dropped(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    for number in range(10):
        append(path, b"%d\n" % number, largest=2)
    names = {one.name: one.read_text().strip() for one in tmp_path.iterdir()}
    assert names == {"access.log": "9", **{f"access.log.{n}": str(9 - n) for n in (1, 2, 3)}}
    assert KEPT == 3


async def test_traffic_never_waits_for_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(accesslog, "MOST_WAITING", 3)
    log = AccessLog(str(tmp_path / "access.log"), "w")
    for _ in range(5):
        log.note(**entry())
    await log.flush()
    assert len(read(tmp_path / "access.log")) == 3
    assert "dropped" in caplog.text
    unwritable = AccessLog(str(tmp_path / "access.log" / "no-folder"), "w")
    for _ in range(2):
        unwritable.note(**entry())
        await unwritable.flush()
    assert caplog.text.count("cannot write the access log") == 1


async def test_nothing_is_lost_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    log = AccessLog(str(path), "w")
    task = asyncio.create_task(log.keep())
    await asyncio.sleep(0)
    for number in range(100):
        log.note(**entry(path=b"/%d" % number))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [one["path"] for one in read(path)] == [f"/{number}" for number in range(100)]
    assert log.lost == 0


async def test_a_log_that_hangs_holds_up_neither_traffic_nor_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accesslog, "FLUSH_SECONDS", 0.01)
    monkeypatch.setattr(accesslog, "LAST_FLUSH_SECONDS", 0.1)
    monkeypatch.setattr(accesslog, "MOST_WAITING", 1000)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    log = AccessLog(str(pipe), "w")
    task = asyncio.create_task(log.keep())
    for _ in range(1000):
        log.note(**entry())
    await until(lambda: in_pipe(reader) > 60_000)  # it is full, and nobody reads
    for _ in range(1500):
        log.note(**entry())
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task, 20)
    assert log.lost == 500
    await until(lambda: b"\n" not in os.read(reader, 1 << 20) and not writing())
    os.close(reader)


def in_pipe(descriptor: int) -> int:
    """Bytes that wait in a pipe."""
    found = fcntl.ioctl(descriptor, termios.FIONREAD, b"\0\0\0\0")
    return int(struct.unpack("i", found)[0])


def writing() -> bool:
    return any(one.name == "beside _write" for one in threading.enumerate())


async def until(condition: Callable[[], Any], seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "the condition never came true"
        await asyncio.sleep(0.01)


async def test_lines_on_the_standard_output_are_whole(tmp_path: Path) -> None:
    """Workers share one pipe, where only short writes stay together."""
    reader, writer = os.pipe()
    lines = [b'{"writer":%d,"text":"' + b"x" * 300 + b'"}\n' for _ in range(300)]

    def write(number: int) -> None:
        write_out([one % number for one in lines], writer)

    writers = [threading.Thread(target=write, args=(number,)) for number in range(3)]
    for one in writers:
        one.start()
    collected = b""
    while collected.count(b"\n") < 900:
        collected += os.read(reader, 65536)
    for one in writers:
        one.join()
    os.close(writer)
    os.close(reader)
    said = [json.loads(one)["writer"] for one in collected.splitlines()]
    assert [said.count(number) for number in range(3)] == [300] * 3


async def test_the_standard_output_can_be_the_log(capfd: pytest.CaptureFixture[str]) -> None:
    log = AccessLog("-", "w")
    log.note(**entry())
    log.note(**entry(path=b"/2"))
    await log.flush()
    assert [json.loads(one)["path"] for one in capfd.readouterr().out.splitlines()] == [
        "/sales/",
        "/2",
    ]


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(one) for one in path.read_text().splitlines()]
