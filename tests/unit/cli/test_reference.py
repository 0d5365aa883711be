"""The page about the command line says what the program says."""

from pathlib import Path

from moorage.reference import page

PAGE = Path(__file__).resolve().parents[3] / "docs" / "reference" / "cli.md"


def test_the_page_is_current() -> None:
    assert PAGE.read_text() == page(), "write it again: python -m moorage.reference"
