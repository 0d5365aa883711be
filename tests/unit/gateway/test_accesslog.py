"""The access log."""

import json
import threading
from pathlib import Path
from typing import Any

import pytest

from gateway import accesslog
from gateway.accesslog import KEPT, AccessLog, Entry, append, line

TRACE = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"


def entry(**changes: Any) -> Entry:
    made = Entry(
        at=1_800_000_000.25,
        client="1.1.1.1",
        user="ann",
        app="sales",
        service="",
        target="sales.web.1",
        method=b"GET",
        path=b"/sales/",
        minor=1,
        status=200,
        received=1,
        sent=2,
        seconds=0.5,
        trace=TRACE,
        how="done",
    )
    return made._replace(**changes)


def test_a_line_says_who_asked_for_what_and_what_came_of_it() -> None:
    assert json.loads(line(entry(), "gateway-1-0-7")) == {
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
    hostile = entry(path=b'/a\r\n{"forged": 1}\xff\xfe\x00', user='x"\n', trace=b"", status=0)
    text = line(hostile, "w")
    assert text.count(b"\n") == 1
    said = json.loads(text)
    assert said["path"].startswith("/a\r\n")
    assert (said["trace"], said["status"]) == (None, None)
    assert len(json.loads(line(entry(path=b"/" * 9999), "w"))["path"]) == 1024


async def test_it_is_written_in_order_and_survives_a_rotation_from_outside(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "access.log"
    log = AccessLog(str(path), "w")
    log.note(entry(path=b"/1"))
    log.note(entry(path=b"/2"))
    await log.flush()
    path.rename(tmp_path / "moved")
    log.note(entry(path=b"/3"))
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
        log.note(entry())
    await log.flush()
    assert len(read(tmp_path / "access.log")) == 3
    assert "dropped" in caplog.text
    unwritable = AccessLog(str(tmp_path / "access.log" / "no-folder"), "w")
    for _ in range(2):
        unwritable.note(entry())
        await unwritable.flush()
    assert caplog.text.count("cannot write the access log") == 1


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(one) for one in path.read_text().splitlines()]
