"""Engines: where instances run. One protocol, one test class for all, registered by name."""

from collections.abc import Callable
from typing import Any

from services.scheduler.engines.process import ProcessEngine
from services.scheduler.engines.protocol import Engine
from shared.errors import Invalid

ENGINES: dict[str, Callable[[Any], Engine]] = {
    "process": lambda settings: ProcessEngine(settings.home),
    "docker": lambda settings: _docker(settings),
}


def make(name: str, settings: Any) -> Engine:
    """The engine registered as `name`; the process engine relies on `home` alone."""
    if name not in ENGINES:
        raise Invalid(
            f"MOORAGE_ENGINE is '{name}', and there is no such engine; "
            f"choose one of: {', '.join(sorted(ENGINES))}."
        )
    return ENGINES[name](settings)


def _docker(settings: Any) -> Engine:
    # Its client costs memory that a platform without containers does not have to spend.
    from services.scheduler.engines.docker import DockerEngine

    return DockerEngine(settings.home, settings)
