import pytest

from services.git_ingest.lines import LONGEST_LINE, clean_line, clean_lines


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("plain\ttext", ["plain\ttext"]),
        ("\x1b[1;31mred\x1b[0m", ["red"]),
        ("\x1b]0;owned\x07title", ["title"]),
        ("\x1b]8;;http://evil\x1b\\link\x1b]8;;\x1b\\", ["link"]),
        ("\x9b2Jgone", ["gone"]),
        ("a\x00b\x08c\x7fd", ["abcd"]),
        ("10%\r50%\r100%\r\n", ["100%"]),
        ("one\ntwo\n", ["one", "two"]),
        ("evil\u202etxt", ["eviltxt"]),
        ("Zürich ✓ 東京", ["Zürich ✓ 東京"]),
        ("", [""]),
        ("\x1b", [""]),
        ("\x1b]never ends", [""]),
    ],
)
def test_clean_lines(raw, shown):
    assert clean_lines(raw) == shown


def test_long_lines_are_cut():
    assert len(clean_lines("x" * 10_000)[0]) == LONGEST_LINE + 3


def test_one_line():
    assert clean_line("a\n\nb\r\n") == "a b"
