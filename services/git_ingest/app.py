"""Where git_ingest's parts meet."""

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from services.git_ingest.apps import Apps
from services.git_ingest.deploys import Deploys
from services.git_ingest.environment import HOOKS
from services.git_ingest.front import Front
from services.git_ingest.handlers import HANDLERS
from services.git_ingest.holder import Holder
from services.git_ingest.hooks import HookSocket
from services.git_ingest.news import NewsDesk
from services.git_ingest.reception import Reception
from services.git_ingest.repositories import Repositories
from services.git_ingest.settings import GitIngestSettings
from services.git_ingest.sources import SourceStore, Spool
from services.git_ingest.trees import TreeLimits
from shared.identity import Callers
from shared.process import Ground, Service


@asynccontextmanager
async def build(ground: Ground) -> AsyncIterator[Service]:
    """git_ingest: an application that runs git, a socket for its hooks, and the pushes it holds."""
    check_tools()
    settings: GitIngestSettings = ground.settings
    database, bus = ground.database, ground.bus
    folder = settings.home / "git"
    repositories = Repositories(folder)
    spool = Spool(folder / ".sources", int(settings.max_source) + settings.max_files * 2048)
    spool.clear_abandoned()
    sources = SourceStore(database, bus.objects, settings.keep_sources_days)
    callers = Callers(bus.bucket("signing-keys"))
    holder = Holder(database)
    desk = NewsDesk(database, bus)
    deploys = Deploys(database, desk, sources, repositories, settings)
    limits = TreeLimits(settings.max_files, int(settings.max_source))
    reception = Reception(database, deploys, spool, limits, holder.id)
    hooks = HookSocket(settings.home / "run", f"git-{settings.instance}")
    apps = Apps(database, bus, repositories)
    front = Front(callers, apps, repositories, hooks, reception, holder, settings)

    async def stop() -> None:
        deploys.stop()
        await front.wait_idle()
        await holder.retire()

    await holder.beat()
    await desk.listen()
    async with hooks.listening():
        yield Service(
            parts=repositories,
            api=front,
            handlers=HANDLERS,
            duties=[
                callers.watch,
                holder.beat_for_ever,
                sources.sweep_for_ever,
                repositories.sweep_for_ever,
            ],
            on_stop=[stop],
        )


def check_tools() -> None:
    """Raise `RuntimeError` when a push could not be checked: git would skip the hook in silence."""
    if shutil.which("git") is None:
        raise RuntimeError("git is not installed; install it (apt-get install git).")
    hook = HOOKS / "pre-receive"
    if not os.access(hook, os.X_OK):
        raise RuntimeError(f"{hook} is not executable; run `chmod 755 {hook}`.")
