"""Names of apps: from a git remote, from a folder."""

import re
import unicodedata
from pathlib import Path
from urllib.parse import urlsplit

from moorage.errors import Trouble
from moorage.git import Git
from moorage.platform import clean_url

LABEL = re.compile(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?")
GIT_PATH = re.compile(r"/-/git/(?P<app>[^/]+?)(\.git)?/?")


def check_label(name: str) -> str:
    """`name` when it can be an app's (a DNS label that begins with a letter)."""
    if LABEL.fullmatch(name):
        return name
    raise Trouble(
        f"{name!r} cannot be the name of an app: take at most 63 small letters, digits and "
        "hyphens, a letter first and no hyphen last"
    )


def folder_label(folder: Path) -> str:
    """The folder's name made into an app's name; refused when nothing is left of it."""
    plain = unicodedata.normalize("NFKD", folder.name).encode("ascii", "ignore").decode().lower()
    label = re.sub(r"[^a-z0-9]+", "-", plain).lstrip("-0123456789")[:63].rstrip("-")
    if LABEL.fullmatch(label):
        return label
    raise Trouble(f"no app name can be made of the folder {folder.name!r}: say --app NAME")


def remote_app(folder: Path, platform_url: str) -> str | None:
    """The app that the git remotes of `folder` name on this platform."""
    apps = {app for url in Git(folder).remote_urls() if (app := app_of(url, platform_url))}
    if len(apps) > 1:
        raise Trouble(
            f"the git remotes here lead to several apps ({', '.join(sorted(apps))}): say --app"
        )
    return next(iter(apps), None)


def app_of(remote_url: str, platform_url: str) -> str | None:
    """The app of a git URL when it lies on the platform, whatever user the URL names."""
    try:
        parts = urlsplit(remote_url)
        address = clean_url(f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}")
    except (Trouble, ValueError):
        return None
    match = GIT_PATH.fullmatch(parts.path)
    return match["app"] if match and address == platform_url else None
