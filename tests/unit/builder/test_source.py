"""Archives are unpacked with nothing believed."""

import hashlib
import tarfile
from pathlib import Path

import pytest

from services.builder.source import Limits, check_digest, unpack
from shared.errors import Invalid
from tests.unit.builder.repositories import archive, member

LIMITS = Limits(size=10_000, files=50)
LINK = tarfile.SYMTYPE


def refusal(
    tmp_path: Path, *members: tuple[tarfile.TarInfo, bytes], limits: Limits = LIMITS
) -> str:
    with pytest.raises(Invalid) as caught:
        unpack(archive(tmp_path / "a.tar", *members), tmp_path / "code", limits)
    assert not (tmp_path / "escaped").exists()
    return caught.value.detail


def test_files_folders_and_inner_links(tmp_path: Path) -> None:
    executable = member("bin/run")
    executable.mode = 0o755
    made = archive(
        tmp_path / "a.tar",
        (member("bin", tarfile.DIRTYPE), b""),
        (executable, b"#!"),
        (member("app.py"), b"x = 1"),
        (member("assets/é.css"), b""),
        (member("current", LINK, "bin/run"), b""),
        (member("assets/up", LINK, "../app.py"), b""),
    )
    code = tmp_path / "code"
    unpack(made, code, LIMITS)
    assert (code / "app.py").read_text() == "x = 1"
    assert (code / "app.py").stat().st_mode & 0o777 == 0o444
    assert (code / "bin/run").stat().st_mode & 0o777 == 0o555
    assert (code / "assets/up").read_text() == "x = 1"
    assert (code / "current").is_symlink()


@pytest.mark.parametrize("name", ["/etc/escaped", "../escaped", "a/../../escaped", "a/.."])
def test_path_outside(tmp_path: Path, name: str) -> None:
    assert "leads outside" in refusal(tmp_path, (member(name), b"x"))


@pytest.mark.parametrize(
    ("name", "target"), [("l", "/etc/passwd"), ("l", ".."), ("a/l", "../../x"), ("l", "a/../../b")]
)
def test_link_outside(tmp_path: Path, name: str, target: str) -> None:
    assert "leads out of the repository" in refusal(tmp_path, (member(name, LINK, target), b""))


def test_link_through_a_link(tmp_path: Path) -> None:
    """Each link looks harmless by its text; together they climb out."""
    said = refusal(
        tmp_path,
        (member("d/e", tarfile.DIRTYPE), b""),
        (member("d/deep", LINK, "e"), b""),
        (member("top", LINK, "d/deep"), b""),
        (member("out", LINK, "top/../../.."), b""),
    )
    assert "leads out of the repository" in said


def test_nothing_is_written_through_a_link(tmp_path: Path) -> None:
    """A file below a link's name: the folder is made first, and then the link is in the way."""
    said = refusal(tmp_path, (member("l", LINK, "app"), b""), (member("l/escaped"), b"x"))
    assert "twice" in said


@pytest.mark.parametrize("kind", [tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.LNKTYPE])
def test_devices_and_hard_links(tmp_path: Path, kind: bytes) -> None:
    assert "neither a file nor a folder" in refusal(tmp_path, (member("x", kind, "y"), b""))


def test_long_path(tmp_path: Path) -> None:
    assert "too long" in refusal(tmp_path, (member("a/" * 2500 + "b"), b""))


def test_long_name(tmp_path: Path) -> None:
    assert "too long" in refusal(tmp_path, (member("b" * 300), b""))


def test_too_many_and_too_large(tmp_path: Path) -> None:
    many = [(member(f"f{number}"), b"") for number in range(5)]
    assert "more than 3 files" in refusal(tmp_path, *many, limits=Limits(100, 3))
    (tmp_path / "other").mkdir()
    assert "MiB" in refusal(tmp_path / "other", (member("big"), b"x" * 101), limits=Limits(100, 3))


def test_twice(tmp_path: Path) -> None:
    assert "twice" in refusal(tmp_path, (member("a"), b"1"), (member("a"), b"2"))


def test_damaged(tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(b"no archive at all")
    with pytest.raises(Invalid, match="push again"):
        unpack(tmp_path / "a.tar", tmp_path / "code", LIMITS)


def test_digest(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"abc")
    check_digest(path, hashlib.sha256(b"abc").hexdigest())
    with pytest.raises(Invalid, match="damaged"):
        check_digest(path, "0" * 64)
