"""Where the builder's parts meet."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import uv as uv_package

from services.builder import leftovers, workshops
from services.builder.api import application
from services.builder.builds import Builds, Terms
from services.builder.handlers import HANDLERS
from services.builder.recipe import Kitchen, cook
from services.builder.settings import BuilderSettings
from services.builder.source import Limits
from services.builder.uv import Uv
from shared.bus import Bus
from shared.identity import Callers
from shared.process import Ground, Service


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
    every = settings.builder_tidy_seconds
    tidy = partial(leftovers.keep_clear, ground.database, home, kitchen.workshop, every)
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
    uv = Uv(Path(uv_package.find_uv_bin()), os.environ)
    return Kitchen(
        objects=bus.objects,
        limits=Limits(settings.builder_source_mb * 2**20, settings.builder_source_files),
        uv=uv,
        workshop=workshops.make(settings, uv),
    )
