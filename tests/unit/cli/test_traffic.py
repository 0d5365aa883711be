"""Amounts as people write them."""

import click
import pytest
from moorage.verbs.traffic import COUNT, SIZE, TIME, Amount


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (COUNT, "50", 50),
        (COUNT, "2.5", 2.5),
        (COUNT, "default", "default"),
        (SIZE, "100MB", 100_000_000),
        (SIZE, "100 mb", 100_000_000),
        (SIZE, "1GiB", 2**30),
        (SIZE, "1.5kb", 1500),
        (SIZE, "4096", 4096),
        (TIME, "90", 90),
        (TIME, "90s", 90),
        (TIME, "1.5m", 90),
        (TIME, "2h", 7200),
    ],
)
def test_an_amount(kind: Amount, text: str, value: float) -> None:
    found = kind.convert(text, None, None)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (COUNT, "5MB"),
        (COUNT, "-1"),
        (COUNT, ""),
        (COUNT, "nan"),
        (SIZE, "MB"),
        (SIZE, "1 0MB"),
        (SIZE, "5h"),
        (TIME, "5MB"),
        (TIME, "1e9"),
        (TIME, "٣"),
    ],
)
def test_what_is_no_amount(kind: Amount, text: str) -> None:
    with pytest.raises(click.BadParameter):
        kind.convert(text, None, None)
