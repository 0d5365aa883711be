"""What a verb prints: a table or a sentence for people, one JSON value for programs."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import click

Row = Mapping[str, Any]


class Output:
    """Prints the result of one verb, as JSON when `as_json`."""

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json

    def table(self, rows: Sequence[Row], columns: Mapping[str, str], empty: str) -> None:
        """Rows under headings (`columns`: key of a row -> heading), `empty` where there is none."""
        if self.as_json:
            self._json(list(rows))
        elif not rows:
            click.echo(empty)
        else:
            cells = [[cell(row.get(key)) for key in columns] for row in rows]
            click.echo("\n".join(aligned([list(columns.values()), *cells])))

    def record(self, fields: Row) -> None:
        """One thing, a line per field."""
        if self.as_json:
            self._json(fields)
        else:
            click.echo(
                "\n".join(aligned([[f"{key}:", cell(value)] for key, value in fields.items()]))
            )

    def done(self, sentence: str, result: Any) -> None:
        """What was done: the sentence for people, `result` for programs."""
        if self.as_json:
            self._json(result)
        else:
            click.echo(sentence)

    def line(self, fields: Row, text: str) -> None:
        """One of a stream of results: a line of text, or of JSON."""
        click.echo(json.dumps(fields, ensure_ascii=False) if self.as_json else text)

    def _json(self, value: Any) -> None:
        click.echo(json.dumps(value, indent=2, ensure_ascii=False, default=str))


def note(sentence: str) -> None:
    """A remark beside the result."""
    click.echo(sentence, err=True)


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Cells in columns two spaces apart."""
    widths = [max(len(row[index]) for row in rows) for index in range(len(rows[0]))]
    return [
        "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def cell(value: Any) -> str:
    """A value as a person reads it, on one line."""
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return " ".join(f"{key}={cell(item)}" for key, item in value.items()) or "-"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(cell(item) for item in value) or "-"
    return moment(value) if isinstance(value, str) else str(value)


def moment(text: str) -> str:
    """A time stamp in the reader's own time zone; any other text as one line."""
    if len(text) >= 19 and text[4:5] == "-" and text[10:11] == "T":
        try:
            return datetime.fromisoformat(text).astimezone().strftime("%Y-%m-%d %H:%M:%S")
        except ValueError:
            pass
    return " ".join(text.split())
