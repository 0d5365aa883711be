"""Workshops: where packages are installed and images made, one for each engine that runs apps."""

from collections.abc import Callable

from services.builder.settings import BuilderSettings
from services.builder.uv import Uv
from services.builder.workshops.process import ProcessWorkshop
from services.builder.workshops.protocol import Workshop
from shared.errors import Invalid
from shared.sandbox import find_sandbox

WORKSHOPS: dict[str, Callable[[BuilderSettings, Uv], Workshop]] = {
    "process": lambda settings, uv: _process(settings, uv),
    "docker": lambda settings, uv: _docker(settings, uv),
}


def make(settings: BuilderSettings, uv: Uv) -> Workshop:
    """The workshop for the engine that the settings name."""
    if settings.engine not in WORKSHOPS:
        raise Invalid(
            f"MOORAGE_ENGINE is '{settings.engine}', and there is no such engine; "
            f"choose one of: {', '.join(sorted(WORKSHOPS))}."
        )
    return WORKSHOPS[settings.engine](settings, uv)


def _process(settings: BuilderSettings, uv: Uv) -> Workshop:
    sandbox = find_sandbox(settings.builder_sandbox_uid)
    return ProcessWorkshop(settings.home.resolve(), uv, sandbox, settings.builder_memory_mb)


def _docker(settings: BuilderSettings, uv: Uv) -> Workshop:
    # Its client costs memory that a platform without containers does not have to spend.
    from services.builder.workshops.docker import DockerWorkshop

    return DockerWorkshop(settings, uv)
