"""git asks `moorage git-credential` for the token: it is in no URL, no argument, no .git/config.

The protocol is git's own (`git help gitcredentials`): lines of key=value on stdin, so the answer.
"""

import shlex
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from moorage.errors import Trouble
from moorage.git import Git
from moorage.logins import Logins
from moorage.platform import Platform, clean_url, find_platform


def helper() -> str:
    """The value of git's `credential.helper` that calls this very program."""
    own = Path(sys.argv[0])
    if own.stem == "moorage" and own.exists():
        words = [str(own.absolute())]
    else:
        # -P: a folder that holds a module of its own must not be able to stand in for this program.
        words = [sys.executable, "-P", "-m", "moorage"]
    return "!" + shlex.join([*words, "git-credential"])


def helper_options(platform: Platform) -> list[str]:
    """Options of one git call that let only this program answer for the platform."""
    return ["-c", "credential.helper=", "-c", f"credential.{platform.url}.helper={helper()}"]


def helper_environment(platform: Platform) -> dict[str, str]:
    """What the helper of such a call needs; git never asks on the terminal."""
    return {
        "MOORAGE_URL": platform.url,
        "MOORAGE_TOKEN": platform.token,
        "GIT_TERMINAL_PROMPT": "0",
    }


def install_helper(url: str) -> None:
    """Make git ask this program wherever it speaks to the platform at `url`."""
    git, key = Git(Path.cwd()), f"credential.{url}.helper"
    # The empty value first: no other helper may store the token.
    git.do("config", "--global", "--replace-all", key, "")
    git.do("config", "--global", "--add", key, helper())


def remove_helper(url: str) -> None:
    """Undo `install_helper`."""
    Git(Path.cwd()).ask("config", "--global", "--remove-section", f"credential.{url}")


def answer(question: Iterable[str], environ: Mapping[str, str], logins: Logins) -> str:
    """The answer to git's `get`: user and token for a platform we are logged in to, else none."""
    asked = dict(line.rstrip("\n").split("=", 1) for line in question if "=" in line)
    try:
        url = clean_url(f"{asked.get('protocol', '')}://{asked.get('host', '')}")
        platform = _platform_at(url, environ, logins)
    except Trouble:
        return ""
    if platform is None:
        return ""
    return f"username={asked.get('username') or platform.user}\npassword={platform.token}\n"


def _platform_at(url: str, environ: Mapping[str, str], logins: Logins) -> Platform | None:
    """A token given in the environment belongs to the platform of the environment alone."""
    if environ.get("MOORAGE_TOKEN"):
        platform = find_platform(environ, logins)
        if platform.url == url:
            return platform
    login = logins.at(url)
    return Platform(url, login.user, login.token) if login else None
