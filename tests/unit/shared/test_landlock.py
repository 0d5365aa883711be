"""Landlock closes all files but those that were given, and takes nothing that a kernel lacks."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from shared import landlock
from shared.landlock import Rules, attributes, file_rights

SYSTEM = [
    name for name in ("/usr", "/bin", "/lib", "/lib64", "/etc/ld.so.cache") if Path(name).exists()
]
NEEDS_LANDLOCK = pytest.mark.skipif(
    not landlock.version(), reason="the kernel of this machine has no Landlock"
)


def run(
    script: str, folder: Path, read: list[Path] | None = None, write: list[Path] | None = None
) -> "subprocess.CompletedProcess[str]":
    rules = Rules(
        read=[*SYSTEM, *map(str, read or [])],
        write=["/dev/null", *map(str, write or [])],
        folder=str(folder),
        scratch=str(folder),
        network=False,
    )
    command = [sys.executable, "-IS", landlock.__file__, rules.text(), "--", "sh", "-c", script]
    environment = {"PATH": "/usr/bin:/bin", "HOME": "/tmp"}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=20)


@pytest.mark.parametrize(
    ("abi", "files", "tcp", "scopes"),
    [
        (1, 0x1FFF, 0, 0),
        (2, 0x3FFF, 0, 0),
        (3, 0x7FFF, 0, 0),
        (4, 0x7FFF, 3, 0),
        (5, 0xFFFF, 3, 0),
        (6, 0xFFFF, 3, 3),
        (99, 0xFFFF, 3, 3),
    ],
)
def test_only_what_the_kernel_knows_is_taken(abi: int, files: int, tcp: int, scopes: int) -> None:
    assert attributes(abi, network=False) == [files, tcp, scopes]
    assert attributes(abi, network=True) == [files, 0, scopes]
    assert file_rights(abi) == files


@NEEDS_LANDLOCK
def test_closes_what_was_not_given(tmp_path: Path) -> None:
    for name in ("open", "shown", "closed"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(f"text of {name}")
    script = "cat shown/file closed/file; echo x > shown/file; echo x > open/new; echo x > closed/n"
    done = run(script, tmp_path, read=[tmp_path / "shown"], write=[tmp_path / "open"])
    assert done.stdout == "text of shown"
    assert done.stderr.count("ermission denied") == 3
    assert (tmp_path / "open" / "new").exists()
    assert not (tmp_path / "closed" / "n").exists()
    assert (tmp_path / "shown" / "file").read_text() == "text of shown"


@NEEDS_LANDLOCK
def test_a_link_leads_nowhere_new(tmp_path: Path) -> None:
    (tmp_path / "open").mkdir()
    (tmp_path / "secret").write_text("secret")
    script = "ln -s ../secret open/soft; cat open/soft; ln secret open/hard; mv secret open/moved"
    done = run(script, tmp_path, write=[tmp_path / "open"])
    assert "secret" not in done.stdout
    assert (tmp_path / "secret").stat().st_nlink == 1


@NEEDS_LANDLOCK
def test_what_it_writes_for_a_while_goes_to_scratch(tmp_path: Path) -> None:
    assert run("echo $TMPDIR $HOME", tmp_path).stdout.split() == [str(tmp_path)] * 2


@NEEDS_LANDLOCK
@pytest.mark.skipif(landlock.version() < 6, reason="this kernel's Landlock does not hold signals")
def test_signals_stay_inside(tmp_path: Path) -> None:
    assert run(f"kill -0 $$ && ! kill -0 {os.getpid()}", tmp_path).returncode == 0


@NEEDS_LANDLOCK
def test_no_process_stays_behind(tmp_path: Path) -> None:
    rules = Rules(read=SYSTEM, write=[], folder="/", scratch="", network=True)
    command = [sys.executable, "-IS", landlock.__file__, rules.text(), "--", "cat"]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert child.stdin
    assert child.stdout
    child.stdin.write("line\n")
    child.stdin.flush()
    assert child.stdout.readline() == "line\n"
    assert Path(f"/proc/{child.pid}/comm").read_text() == "cat\n"
    child.communicate()


def test_does_not_run_what_it_cannot_lock_in(tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    done = run("touch ran", tmp_path, read=[missing], write=[tmp_path])
    assert done.returncode == landlock.UNUSABLE
    assert "was not started" in done.stderr
    assert not (tmp_path / "ran").exists()


def test_rules_are_plain_text() -> None:
    rules = Rules(read=["/a"], write=[], folder="/", scratch="", network=True)
    assert vars(Rules(**json.loads(rules.text()))) == vars(rules)
