"""What a build is about: what is wanted, and the job that somebody waits for."""

import hashlib
import json
import sys
import sysconfig
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from services.builder.dependencies import Dependencies
from services.builder.interpreters import Interpreter

FORMAT = 1
SERVERS = {"gunicorn": "27.0.1", "uvicorn": "0.54.0"}
"""The servers that are added where an app needs one and names none, at versions we tried."""

Say = Callable[[str], None]


@dataclass(frozen=True)
class Wanted:
    """What an environment is made of."""

    dependencies: Dependencies
    servers: tuple[str, ...]
    interpreter: Interpreter

    @property
    def added(self) -> list[str]:
        """Requirements for servers that the app itself does not name, pinned."""
        named = self.dependencies.requirements.names
        return [f"{name}=={SERVERS[name]}" for name in self.servers if name not in named]

    def digest(self, uv_version: str, index: dict[str, str]) -> str:
        """SHA-256 over everything that decides what gets installed."""
        requirements = self.dependencies.requirements
        inputs = {
            "format": FORMAT,
            "lines": requirements.lines,
            "constraints": requirements.constraints,
            "wheels": requirements.digests,
            "added": self.added,
            "python": [self.interpreter.executable, self.interpreter.version],
            "platform": [sysconfig.get_platform(), sys.implementation.cache_tag],
            "uv": uv_version,
            "index": sorted(index.items()),
        }
        return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class Job:
    """The build that an environment is for. `name` is unlike that of any other attempt."""

    name: str
    app: str
    work: Path
    say: Say
    timeout: float
