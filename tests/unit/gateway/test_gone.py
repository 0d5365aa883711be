"""Who is gone: told for a while, and over a restart."""

from pathlib import Path

from gateway.gone import KEPT_SECONDS, MOST, Gone


def test_told_for_a_while_and_no_more_than_the_last() -> None:
    now = 1000.0
    gone = Gone(clock=lambda: now)
    gone.add("g.0.first")
    now += KEPT_SECONDS - 1
    assert gone.names == ["g.0.first"]
    for number in range(MOST):
        gone.add(f"g.0.{number}")
    assert gone.names == [f"g.0.{number}" for number in range(MOST)]
    now += KEPT_SECONDS + 1
    assert gone.names == []


def test_kept_in_a_file(tmp_path: Path) -> None:
    path = str(tmp_path / "g.gone")
    Gone(path).add("g.0.a")
    assert Gone(path).names == ["g.0.a"]


def test_a_file_that_cannot_be_read_is_as_none(tmp_path: Path) -> None:
    path = tmp_path / "g.gone"
    for content in (b"", b"[]", b'{"a": "x"}', b"\xff"):
        path.write_bytes(content)
        assert Gone(str(path)).names == []
