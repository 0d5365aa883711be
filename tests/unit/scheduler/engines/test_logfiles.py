"""Logs: their ends, their cutting, their lines."""

import asyncio
from pathlib import Path

from services.scheduler.engines import logfiles


def test_tail(tmp_path: Path) -> None:
    path = tmp_path / "log"
    assert logfiles.tail(path, 3) == ([], 0)
    path.write_text("".join(f"{n}\n" for n in range(50_000)))
    assert logfiles.tail(path, 2) == (["49998", "49999"], path.stat().st_size)
    assert logfiles.tail(path, 0)[0] == []


def test_trim_keeps_the_newest_half(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"a" * 600 + b"b" * 500)
    assert not logfiles.trim(path, 1100)
    assert logfiles.trim(path, 1000)
    assert path.stat().st_size == 0
    assert (tmp_path / "log.1").read_bytes() == b"b" * 500


async def test_lines_of_a_stream() -> None:
    stream = asyncio.StreamReader()
    stream.feed_data(b"one\r\ntwo\n" + b"z" * 200_000 + b"\nlast")
    stream.feed_eof()
    lines = [line async for line in logfiles.lines_of(stream)]
    assert lines[:2] == ["one", "two"]
    assert lines[-1] == "last"
    assert "".join(lines[2:-1]) == "z" * 200_000
