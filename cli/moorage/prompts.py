"""Asking a person, or standard input where no person types."""

import sys

import click

from moorage.errors import Trouble


def ask_secret(what: str, confirm: bool = False) -> str:
    """A value that is not echoed; one line of standard input where that is no terminal."""
    if sys.stdin.isatty():
        return click.prompt(what, hide_input=True, confirmation_prompt=confirm, err=True)
    given = sys.stdin.readline().rstrip("\r\n")
    if not given:
        raise Trouble(f"standard input holds no {what.lower()}")
    return given
