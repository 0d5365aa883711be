"""Where the builder's parts meet."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import uv

from services.builder import leftovers
from services.builder.api import application
from services.builder.builds import Builds, Terms
from services.builder.handlers import HANDLERS
from services.builder.recipe import Kitchen, cook, furnish
from services.builder.settings import BuilderSettings
from services.builder.source import Limits
from services.builder.uv import Uv
from shared.bus import Bus
from shared.identity import Callers
from shared.logs import get_logger
from shared.process import Ground, Service
from shared.sandbox import find_sandbox

logger = get_logger(__name__)


@asynccontextmanager
async def build(ground: Ground) -> AsyncIterator[Service]:
    """The builder: handlers that queue, duties that build, and two pages of API."""
    settings: BuilderSettings = ground.settings
    home = settings.home.resolve()
    kitchen = make_kitchen(settings, ground.bus)
    builds = Builds(
        ground.database,
        ground.bus,
        partial(cook, kitchen),
        home / "builds",
        Terms(
            worker=settings.instance,
            places=settings.builder_concurrency,
            poll=settings.builder_poll_seconds,
            timeout=settings.builder_timeout_seconds,
        ),
    )
    tidy = partial(leftovers.keep_clear, ground.database, home, settings.builder_tidy_seconds)
    callers = Callers(ground.bus.bucket("signing-keys"))
    served = application(ground.database, callers)
    yield Service(
        api=served,
        handlers=HANDLERS,
        duties=[callers.watch, builds.work, builds.rescue, tidy],
        on_stop=[builds.stop],
    )


def make_kitchen(settings: BuilderSettings, bus: Bus) -> Kitchen:
    """What builds work with, as the settings and this machine have it."""
    sandbox = find_sandbox(settings.builder_sandbox_uid)
    logger.info("sandbox found", extra={"sandbox": sandbox.level})
    return furnish(
        settings.home.resolve(),
        bus.objects,
        Limits(settings.builder_source_mb * 2**20, settings.builder_source_files),
        Uv(Path(uv.find_uv_bin()), os.environ),
        sandbox,
        settings.builder_memory_mb,
    )
