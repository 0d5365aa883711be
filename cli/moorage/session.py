"""What every verb works with: the platform, the current app and the output."""

import os
from collections.abc import Callable
from functools import cached_property, update_wrapper
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

import click

from moorage.client import Client
from moorage.errors import Trouble
from moorage.logins import Logins, logins_path
from moorage.output import Output
from moorage.platform import Platform, find_platform
from moorage.remotes import check_label, remote_app

P = ParamSpec("P")
R = TypeVar("R")
_APP = "moorage.app"
_JSON = "moorage.json"


class Session:
    """One call of the program. Everything is found when first asked for."""

    def __init__(self, context: click.Context) -> None:
        self._meta = context.meta

    @cached_property
    def output(self) -> Output:
        return Output(self._meta.get(_JSON, False))

    @cached_property
    def logins(self) -> Logins:
        return Logins(logins_path(os.environ))

    @cached_property
    def platform(self) -> Platform:
        return find_platform(os.environ, self.logins)

    @cached_property
    def client(self) -> Client:
        return Client(self.platform)

    @property
    def named_app(self) -> str | None:
        """The app of --app or of the git remote here that leads to the platform."""
        given = self._meta.get(_APP)
        return check_label(given) if given else remote_app(Path.cwd(), self.platform.url)

    @cached_property
    def app(self) -> str:
        if not (app := self.named_app):
            raise Trouble(
                "which app? Say --app NAME (no git remote of this folder leads to the platform)"
            )
        return app


def with_session(verb: Callable[Concatenate[Session, P], R]) -> Callable[P, R]:
    """Hands the session to a verb as its first argument."""

    def call(*args: Any, **kwargs: Any) -> R:
        return verb(Session(click.get_current_context()), *args, **kwargs)

    return update_wrapper(call, verb)


def _remember(key: str) -> Callable[[click.Context, click.Parameter, Any], None]:
    # Kept in `meta`, which a group shares with its verbs: `config -a x list`, `config list -a x`.
    def callback(context: click.Context, _: click.Parameter, value: Any) -> None:
        if value:
            context.meta[key] = value

    return callback


app_option = click.option(
    "--app",
    "-a",
    metavar="NAME",
    expose_value=False,
    callback=_remember(_APP),
    help="The app; else that of the git remote which leads to the platform.",
)
json_option = click.option(
    "--json",
    "as_json",
    is_flag=True,
    expose_value=False,
    callback=_remember(_JSON),
    help="Print JSON.",
)
