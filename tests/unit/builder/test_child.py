"""Running other programs: time, memory, and lines as they come."""

import asyncio
from pathlib import Path

import pytest

from services.builder import child
from shared.errors import Invalid


class TestChild:
    def test_time_limit_ends_all_of_it(self, tmp_path: Path) -> None:
        command = ["/bin/sh", "-c", "sleep 60 & echo $!; wait"]
        lines: list[str] = []
        with pytest.raises(Invalid, match="did not finish"):
            asyncio.run(child.run(command, env={}, on_line=lines.append, timeout=0.3))
        assert _gone(int(lines[0]))

    def test_memory_limit(self) -> None:
        script = "x=aaaaaaaaaaaaaaaa; while true; do x=$x$x; done"
        env: dict[str, str] = {}
        status = asyncio.run(
            child.run(
                ["/bin/sh", "-c", script], env=env, on_line=lambda _: None, timeout=20, memory_mb=64
            )
        )
        assert status != 0

    def test_lines(self) -> None:
        lines: list[str] = []
        command = ["/usr/bin/printf", r"a\r\nb\n\nlast"]
        asyncio.run(child.run(command, env={}, on_line=lines.append, timeout=5))
        assert lines == ["a", "b", "last"]


def _gone(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return True
    return state == "Z"
