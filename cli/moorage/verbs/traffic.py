"""How much traffic the app may take, and where it is served."""

import re
from collections.abc import Mapping
from typing import Any

import click

from moorage.client import app_path
from moorage.remotes import check_label
from moorage.session import Session, app_option, json_option, with_session

DEFAULT = "default"
NUMBER = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?([A-Za-z]*)")
SIZES = {
    "GiB": 2**30,
    "GB": 10**9,
    "MiB": 2**20,
    "MB": 10**6,
    "KiB": 2**10,
    "kB": 10**3,
    "B": 1,
}
TIMES = {"s": 1, "m": 60, "h": 3600}
COLUMNS = {"limit": "LIMIT", "value": "VALUE", "set_by": "SET BY", "at_most": "AT MOST"}


class Amount(click.ParamType):
    """A number, with one of these units behind it, or the word "default"."""

    def __init__(self, name: str, units: Mapping[str, int]) -> None:
        self.name = name
        self._units = {unit.lower(): factor for unit, factor in units.items()} | {"": 1}
        self._example = next(iter(units), "")

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float | str:
        if value == DEFAULT:
            return DEFAULT
        match = NUMBER.fullmatch(str(value))
        if not match or match[2].lower() not in self._units:
            self.fail(f"{value!r} is not a number such as 10{self._example}, nor 'default'")
        amount = float(match[1]) * self._units[match[2].lower()]
        return int(amount) if amount.is_integer() else amount


COUNT = Amount("number", {})
SIZE = Amount("size", SIZES)
TIME = Amount("time", TIMES)


@click.command()
@click.argument("name", required=False, metavar="[APP]")
@click.option("--concurrent", type=COUNT, help="Requests under way at a time.")
@click.option("--body-size", "body_bytes", type=SIZE, help="The largest request: 100MB, 1GiB.")
@click.option("--answer-timeout", "answer_seconds", type=TIME, help="Until an answer begins: 90s.")
@click.option("--idle-timeout", "idle_seconds", type=TIME, help="Without a byte either way: 10m.")
@click.option("--rate", type=COUNT, help="Requests a second of one client.")
@click.option("--burst", type=COUNT, help="Requests of one client at once, where a rate is set.")
@click.option(
    "--isolated/--shared",
    default=None,
    help="Serve the app on a host of its own only, or under its path as well.",
)
@click.option("--reset", is_flag=True, help="Go back to the platform's limits.")
@app_option
@json_option
@with_session
def traffic(
    session: Session, name: str | None, isolated: bool | None, reset: bool, **limits: Any
) -> None:
    """Show or change how much traffic the app may take; 'default' takes one limit back."""
    path = app_path(check_label(name) if name else session.app, "/traffic")
    wish = _wish(limits, isolated, reset)
    _print(session, session.client.patch(path, wish) if wish else session.client.get(path))


def _wish(limits: Mapping[str, Any], isolated: bool | None, reset: bool) -> dict[str, Any]:
    """What to change, empty where nothing was asked for."""
    asked: dict[str, Any] = dict.fromkeys(limits) if reset else {}
    for name, value in limits.items():
        if value is not None:
            asked[name] = None if value == DEFAULT else value
    return ({"limits": asked} if asked else {}) | (
        {} if isolated is None else {"isolated": isolated}
    )


def _print(session: Session, found: dict[str, Any]) -> None:
    if session.output.as_json:
        session.output.record(found)
        return
    rows = [_row(name, limit) for name, limit in found["limits"].items()]
    bounded = any(row["at_most"] for row in rows)
    columns = COLUMNS if bounded else {key: COLUMNS[key] for key in COLUMNS if key != "at_most"}
    session.output.table(rows, columns, "")
    alone = found["isolated"]["value"]
    click.echo(
        f"{found['app']} is served {'on a host of its own only' if alone else 'under its path'}."
    )


def _row(name: str, limit: dict[str, Any]) -> dict[str, str]:
    return {
        "limit": OPTIONS.get(name, name),
        "value": "unlimited" if limit["value"] is None else _shown(name, limit["value"]),
        "set_by": "the platform" if limit["default"] else "the app",
        "at_most": "" if limit["ceiling"] is None else _shown(name, limit["ceiling"]),
    }


OPTIONS = {
    "body_bytes": "body-size",
    "answer_seconds": "answer-timeout",
    "idle_seconds": "idle-timeout",
}


def _shown(name: str, value: float) -> str:
    if name == "body_bytes":
        unit = next(unit for unit, factor in SIZES.items() if value % factor == 0)
        return f"{value / SIZES[unit]:.0f} {unit}"
    number = f"{value:.0f}" if value == int(value) else f"{value:g}"
    return f"{number} s" if name.endswith("_seconds") else number
