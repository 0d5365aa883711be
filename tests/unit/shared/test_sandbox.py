"""Foreign code sees what it is shown, writes where it may, and goes nowhere."""

import os
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

import pytest

from shared import landlock
from shared.sandbox import Sandbox, View, find_sandbox

UID = 61001
needs_landlock = pytest.mark.skipif(
    not landlock.version(), reason="the kernel of this machine has no Landlock"
)


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
    without = "landlock" if landlock.version() else "plain"
    assert sandbox.level == ("bubblewrap" if shutil.which("bwrap") else without)
    assert sandbox.locks == (sandbox.level == "bubblewrap")
    assert find_sandbox(UID, bubblewrap=False).level == without
    assert find_sandbox(UID, bubblewrap=False, landlock=False).level == "plain"


def test_places_move_with_bubblewrap_alone(tmp_path: Path) -> None:
    view = View(tmp_path / "s", read={"/app": tmp_path / "a"}, write={"/app/x": tmp_path / "x"})
    moved = {"/app/b": "a/b", "/app/x/y": "x/y", "/tmp": "s", "/tmp/t": "s/t"}
    for inside, outside in moved.items():
        assert Sandbox("bubblewrap", None).place(view, inside) == inside
        assert Sandbox("landlock", None).place(view, inside) == str(tmp_path / outside)
        assert Sandbox("plain", None).place(view, inside) == str(tmp_path / outside)
    assert Sandbox("landlock", None).place(view, "/usr/bin") == "/usr/bin"


@needs_landlock
@pytest.mark.parametrize("reached", [True, False])
def test_landlock_closes_the_rest_whoever_the_code_runs_as(tmp_path: Path, reached: bool) -> None:
    sandbox = find_sandbox(UID, bubblewrap=False)
    home = Path(tempfile.mkdtemp())
    home.chmod(0o755 if reached else 0o700)
    try:
        scratch, open_ = folders(home, sandbox)
        (home / "keys").write_text("secret")
        view = View(scratch, read={"/app": home / "app"}, write={"/data": open_}, folder="/app")
        (home / "app").mkdir()
        (home / "app" / "code").write_text("code\n")
        script = f"""
            cat code {home}/keys; cat /etc/shadow; touch {home}/app/x; touch {open_}/yes
            touch $TMPDIR/too; touch /tmp/{home.name}.x; ls {home}; grep CapEff /proc/self/status
            cat /proc/{os.getpid()}/environ
        """
        _, lines = run(sandbox, view, script)
        assert "code" in lines
        assert not any("secret" in line or "root:" in line for line in lines)
        assert sum("ermission denied" in line for line in lines) == 6
        assert (open_ / "yes").exists()
        assert (scratch / "too").exists()
        assert any(line.startswith("CapEff:") and int(line.split()[1], 16) == 0 for line in lines)
        if os.geteuid() == 0:
            assert (open_ / "yes").stat().st_uid == (UID if reached else 0)
    finally:
        shutil.rmtree(home)


@needs_landlock
@pytest.mark.skipif(landlock.version() < 4, reason="this kernel's Landlock does not know TCP")
def test_landlock_has_no_tcp_unless_given(tmp_path: Path) -> None:
    sandbox = find_sandbox(UID, bubblewrap=False)
    scratch, _ = folders(tmp_path, sandbox)
    with socket.create_server(("127.0.0.1", 0)) as server:
        script = f"bash -c 'exec 3<>/dev/tcp/127.0.0.1/{server.getsockname()[1]}'"
        assert run(sandbox, View(scratch), script)[0] != 0
        assert run(sandbox, View(scratch, network=True), script)[0] == 0


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
    assert Sandbox("landlock", UID).contains(View(closed / "scratch"))
