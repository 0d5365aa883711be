"""What is printed, and what is read of streams."""

import pytest
from moorage.output import aligned, cell
from moorage.verbs.logs import whole_lines
from moorage.verbs.run import Ending


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        ("", "-"),
        (True, "yes"),
        (0, "0"),
        ([], "-"),
        (["a", "b"], "a, b"),
        ({"web": 3}, "web=3"),
        ("two\nlines", "two lines"),
        ("2026-99-99T00:00:00", "2026-99-99T00:00:00"),
    ],
)
def test_a_cell_is_one_line(value: object, text: str) -> None:
    assert cell(value) == text


def test_columns_line_up() -> None:
    assert aligned([["A", "B"], ["longer", "x"]]) == ["A       B", "longer  x"]


def test_lines_survive_any_cut() -> None:
    whole = "eins\nzwei €\ndrei".encode()
    for size in range(1, len(whole) + 1):
        pieces = [whole[start : start + size] for start in range(0, len(whole), size)]
        assert list(whole_lines(pieces)) == ["eins", "zwei €", "drei"]


@pytest.mark.parametrize(
    ("whole", "output", "status"),
    [
        (b"hello\nexit-status: 3\n", b"hello\n", 3),
        (b"exit-status: 0\n", b"", 0),
        (b"exit-status: 1\nexit-status: 0\n", b"exit-status: 1\n", 0),
        (b"exit-status: -9\n", b"", -9),
        (b"cut off in the mid", b"cut off in the mid", None),
        (b"not an exit-status: 4\n", b"not an exit-status: 4\n", None),
        (b"x" * 300 + b"\n\nexit-status: 0\n", b"x" * 300 + b"\n\n", 0),
    ],
)
def test_the_last_line_says_how_a_run_ended(
    whole: bytes, output: bytes, status: int | None
) -> None:
    for size in range(1, len(whole) + 1):
        ending = Ending()
        pieces = [whole[start : start + size] for start in range(0, len(whole), size)]
        assert b"".join(ending.outside(pieces)) == output
        assert ending.status == status


def test_a_whole_line_is_not_held_back() -> None:
    pieces = Ending().outside(iter([b"first\n", b"exit-status: 0\n"]))
    assert next(pieces) == b"first\n"
