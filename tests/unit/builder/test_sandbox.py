"""Foreign code sees what it is shown, writes where it may, and goes nowhere."""

import asyncio
import os
import shutil
import socket
from pathlib import Path

import pytest

from services.builder import child
from services.builder.sandbox import Sandbox, View, find_sandbox
from shared.errors import Invalid

UID = 61001


@pytest.fixture
def sandbox() -> Sandbox:
    return find_sandbox(UID)


def run(sandbox: Sandbox, view: View, script: str) -> tuple[int, list[str]]:
    lines: list[str] = []
    command = sandbox.wrap(["/bin/sh", "-c", script], view)
    env = {"PATH": "/usr/bin:/bin"}
    return asyncio.run(child.run(command, env=env, on_line=lines.append, timeout=20)), lines


def folders(tmp_path: Path, sandbox: Sandbox) -> tuple[Path, Path]:
    scratch, open_ = tmp_path / "scratch", tmp_path / "open"
    scratch.mkdir()
    open_.mkdir()
    sandbox.own(scratch, open_)
    return scratch, open_


def test_found_as_good_as_the_machine_has_it(sandbox: Sandbox) -> None:
    assert sandbox.level == ("bubblewrap" if shutil.which("bwrap") else "plain")
    assert (sandbox.warning is None) == (sandbox.level == "bubblewrap")


def test_foreign_code_is_not_root(tmp_path: Path, sandbox: Sandbox) -> None:
    scratch, _ = folders(tmp_path, sandbox)
    status, lines = run(sandbox, View(scratch), "id -u")
    assert status == 0
    assert int(lines[0]) == (UID if os.geteuid() == 0 else os.geteuid())


def test_locked_in(tmp_path: Path, sandbox: Sandbox) -> None:
    if sandbox.level == "plain":
        assert sandbox.warning
        return
    scratch, open_ = folders(tmp_path, sandbox)
    (tmp_path / "keys").write_text("secret")
    shown = tmp_path / "shown"
    shown.mkdir()
    view = View(scratch, read={str(shown): shown}, write={str(open_): open_})
    script = f"""
        cat {tmp_path}/keys; touch {shown}/x; touch {open_}/yes; touch /tmp/too
        ls /proc | grep -c '^[0-9]'; echo uids; cut -c1-40 /proc/self/status | grep CapEff
    """
    _, lines = run(sandbox, view, script)
    assert not any("secret" in line for line in lines)
    assert not (shown / "x").exists()
    assert (open_ / "yes").exists()
    assert (scratch / "too").exists()
    assert any(line.startswith("CapEff:") and int(line.split()[1], 16) == 0 for line in lines)


def test_no_network_unless_given(tmp_path: Path, sandbox: Sandbox) -> None:
    if sandbox.level == "plain":
        return
    scratch, _ = folders(tmp_path, sandbox)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        script = f"/usr/bin/env bash -c 'exec 3<>/dev/tcp/127.0.0.1/{port}'"
        assert run(sandbox, View(scratch), script)[0] != 0
        assert run(sandbox, View(scratch, network=True), script)[0] == 0


def test_take_back(tmp_path: Path, sandbox: Sandbox) -> None:
    scratch, open_ = folders(tmp_path, sandbox)
    view = View(scratch, write={str(open_): open_})
    run(sandbox, view, f"cp /bin/true {open_}/x; chmod 4755 {open_}/x")
    sandbox.take_back(open_)
    if (open_ / "x").exists():
        found = (open_ / "x").stat()
        assert (found.st_uid, found.st_mode & 0o6000) == (os.geteuid(), 0)


def test_plain_root_refuses_what_it_cannot_lock_in(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    (closed / "scratch").mkdir(parents=True)
    closed.chmod(0o700)
    with pytest.raises(Invalid, match="bubblewrap"):
        Sandbox("plain", UID).wrap(["true"], View(closed / "scratch"))


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
