"""The one kind of error a verb raises."""

import click


class Trouble(click.ClickException):
    """What went wrong outside this program, in one sentence that says what to do."""

    exit_code = 1
