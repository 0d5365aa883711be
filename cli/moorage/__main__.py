"""`moorage` and `python -m moorage`."""

import os
import sys

import click

from moorage.program import program


def main() -> None:
    """Run one verb; whatever goes wrong is one line on stderr and an exit status.

    0 done, 1 it went wrong, 2 wrong usage; `moorage run` ends with the status of its command.
    """
    try:
        status = program.main(prog_name="moorage", standalone_mode=False)
    except click.UsageError as error:
        status = _complain(error.format_message(), error.exit_code, _usage_hint(error))
    except click.ClickException as error:
        status = _complain(error.format_message(), error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        status = _complain("stopped", 1)
    except BrokenPipeError:
        # The reader of a pipe went away (`moorage logs | head`): nothing may be flushed any more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 1
    except Exception as error:
        if os.environ.get("MOORAGE_DEBUG"):
            raise
        status = _complain(
            f"a fault of this program ({type(error).__name__}: {error}); "
            "MOORAGE_DEBUG=1 shows where",
            1,
        )
    sys.exit(status if isinstance(status, int) else 0)


def _complain(message: str, status: int, hint: str = "") -> int:
    click.echo("moorage: " + " ".join(message.split()) + hint, err=True)
    return status


def _usage_hint(error: click.UsageError) -> str:
    return f" (see `{error.ctx.command_path} --help`)" if error.ctx else ""


if __name__ == "__main__":
    main()
