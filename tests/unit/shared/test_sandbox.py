"""Foreign code sees what it is shown, writes where it may, and goes nowhere."""

import os
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from shared.sandbox import Sandbox, View, find_sandbox

UID = 61001


@pytest.fixture
def sandbox() -> Sandbox:
    return find_sandbox(UID)


def run(sandbox: Sandbox, view: View, script: str) -> tuple[int, list[str]]:
    command = sandbox.wrap(["/bin/sh", "-c", script], view)
    done = subprocess.run(
        command, env={"PATH": "/usr/bin:/bin"}, capture_output=True, text=True, timeout=20
    )
    return done.returncode, (done.stdout + done.stderr).splitlines()


def folders(tmp_path: Path, sandbox: Sandbox) -> tuple[Path, Path]:
    scratch, open_ = tmp_path / "scratch", tmp_path / "open"
    scratch.mkdir()
    open_.mkdir()
    sandbox.own(scratch, open_)
    return scratch, open_


def test_found_as_good_as_the_machine_has_it(sandbox: Sandbox) -> None:
    assert sandbox.level == ("bubblewrap" if shutil.which("bwrap") else "plain")
    assert sandbox.locks == (sandbox.level == "bubblewrap")


def test_foreign_code_is_not_root(tmp_path: Path, sandbox: Sandbox) -> None:
    scratch, _ = folders(tmp_path, sandbox)
    status, lines = run(sandbox, View(scratch), "id -u")
    assert status == 0
    assert int(lines[0]) == (UID if os.geteuid() == 0 else os.geteuid())


def test_locked_in(tmp_path: Path, sandbox: Sandbox) -> None:
    if not sandbox.locks:
        pytest.skip("this machine has no bubblewrap, so nothing locks foreign code in")
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
    if not sandbox.locks:
        pytest.skip("this machine has no bubblewrap, so nothing cuts foreign code off")
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


def test_root_without_bubblewrap_cannot_contain_what_others_cannot_reach(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    (closed / "scratch").mkdir(parents=True)
    closed.chmod(0o700)
    assert not Sandbox("plain", UID).contains(View(closed / "scratch"))
    assert Sandbox("plain", None).contains(View(closed / "scratch"))
