"""What detection finds out: how an app is started, checked and reached under its prefix."""

from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True)
class Health:
    """The request that proves an app to be up, as the app itself sees its path.

    `path` is a template with {app}. `status` is the status to expect, None for anything below 500;
    `contains` is text that the body must hold; `json` asks for a JSON body.
    """

    path: str
    status: int | None = None
    contains: str | None = None
    json: bool = False

    def document(self) -> dict[str, Any]:
        expect = {"status": self.status, "contains": self.contains, "json": self.json}
        return {"path": self.path, "expect": expect}


@dataclass(frozen=True)
class Framework:
    """How one framework lives under `/<app>/`; every value as tried, see `docs/`.

    `prefix_env` maps variables to templates with {app}, {port} and {host}; `names` are the files
    that people of this framework start, best first; `distribution` is what must be installed;
    `warm` are modules worth importing once so that their bytecode is there.
    """

    kind: str
    title: str
    distribution: str | None
    prefix_mode: Literal["keep", "strip"]
    prefix_env: dict[str, str]
    health: Health
    sticky: bool = False
    names: tuple[str, ...] = ()
    warm: tuple[str, ...] = ()


@dataclass(frozen=True)
class Plan:
    """How to build and run one repository.

    `servers` names what starts the app ("gunicorn", "uvicorn") and must be installed; `entry` is
    the file that is run, relative to the repository; `extra_files` are written beside the code.
    """

    framework: Framework
    process_types: dict[str, str]
    found: str
    entry: str | None = None
    servers: tuple[str, ...] = ()
    extra_files: dict[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True)
class Candidate:
    """One file that could be the app. `target` is what is started in it ("server: app:server")."""

    framework: Framework
    file: str
    target: str
    command: str
    servers: tuple[str, ...] = ()
    extra_files: dict[str, str] = field(default_factory=dict[str, str])

    @property
    def module(self) -> str:
        return self.file.removesuffix(".py")
