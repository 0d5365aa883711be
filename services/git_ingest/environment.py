"""The environment that git runs in: ours alone, no configuration of the machine or of a person."""

import os
import sys
from collections.abc import Iterable
from pathlib import Path

HOOKS = Path(__file__).parent / "hook"

# Histories written by old tools are full of these; the big hosts let them pass too. What names
# ".git" and the like is refused by `trees` with a sentence of its own, so git only warns of it.
_HARMLESS = ("zeroPaddedFilemode", "missingSpaceBeforeDate", "badTimezone")
_CHECKED_LATER = ("hasDot", "hasDotdot", "hasDotgit", "fullPathname")

# Source archives say 1980 for every file, so that equal files make an equal archive. Not 1970:
# a zip file, and so a wheel, cannot hold a date before 1980.
_SNAPSHOT_DATE = "315532800 +0000"


def settings_of_git(max_push: int) -> list[tuple[str, str]]:
    """git-config(1) settings for a server that trusts nobody."""
    return [
        ("core.hooksPath", str(HOOKS)),
        # Bounds what git itself keeps in memory for one push or clone.
        ("core.bigFileThreshold", "32m"),
        ("core.deltaBaseCacheLimit", "32m"),
        ("pack.windowMemory", "64m"),
        ("pack.threads", "1"),
        ("http.receivepack", "true"),
        ("receive.maxInputSize", str(max_push)),
        # Always index-pack, which keeps no large file in memory, as unpack-objects does.
        ("receive.unpackLimit", "1"),
        ("receive.fsckObjects", "true"),
        *((f"receive.fsck.{kind}", "ignore") for kind in _HARMLESS),
        *((f"receive.fsck.{kind}", "warn") for kind in _CHECKED_LATER),
        ("receive.denyDeleteCurrent", "ignore"),
        ("tar.umask", "0022"),
        # Only branches and tags can be seen and pushed.
        ("transfer.hideRefs", "refs"),
        ("transfer.hideRefs", "!refs/heads"),
        ("transfer.hideRefs", "!refs/tags"),
    ]


def git_environment(repository: Path, settings: Iterable[tuple[str, str]] = ()) -> dict[str, str]:
    """Environment variables for git at work on `repository`."""
    pairs = [("safe.directory", str(repository)), *settings]
    environment = {
        "PATH": os.pathsep.join([os.path.dirname(sys.executable), os.environ.get("PATH", "")]),
        "HOME": "/nonexistent",
        "LC_ALL": "C.UTF-8",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_CONFIG_COUNT": str(len(pairs)),
    }
    for index, (key, value) in enumerate(pairs):
        environment[f"GIT_CONFIG_KEY_{index}"] = key
        environment[f"GIT_CONFIG_VALUE_{index}"] = value
    for who in ("AUTHOR", "COMMITTER"):
        environment[f"GIT_{who}_NAME"] = "moorage"
        environment[f"GIT_{who}_EMAIL"] = "moorage@localhost"
        environment[f"GIT_{who}_DATE"] = _SNAPSHOT_DATE
    return environment
