"""Backup and restore: for operators, on the machine where the platform runs."""

import subprocess
import sys
from pathlib import Path

import click

from moorage.errors import Trouble
from moorage.session import Session, json_option, with_session


@click.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@json_option
@with_session
def backup(session: Session, file: Path) -> None:
    """Write the whole platform into FILE; apps go on answering, pushes wait."""
    said = _platform("backup", file)
    session.output.done(said, {"file": str(file), "bytes": file.stat().st_size})


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@json_option
@with_session
def restore(session: Session, file: Path) -> None:
    """Bring back what FILE holds, into a data folder with no platform in it."""
    session.output.done(_platform("restore", file), {"file": str(file)})


def _platform(verb: str, file: Path) -> str:
    """What the platform's own program said. Raises `Trouble` with its last line."""
    done = subprocess.run(
        [sys.executable, "-m", "deploy.embedded", verb, str(file.absolute())],
        cwd=_checkout(),
        capture_output=True,
        text=True,
    )
    if done.returncode != 0:
        said = done.stderr.strip().splitlines()
        raise Trouble(said[-1] if said else f"the {verb} failed without a word")
    return done.stdout.strip()


def _checkout() -> Path:
    """The platform's checkout that this command lies in. Raises `Trouble` elsewhere."""
    folder = Path(__file__).resolve().parents[3]
    if not (folder / "deploy" / "embedded").is_dir():
        raise Trouble(
            "this works on the platform's own machine: use the command of its checkout, "
            ".venv/bin/moorage"
        )
    return folder
