"""Where the scheduler's parts meet."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from services.scheduler import engines
from services.scheduler.api import application
from services.scheduler.config import ConfigReader
from services.scheduler.gateways import Gateways
from services.scheduler.handlers import HANDLERS
from services.scheduler.operations import Operations
from services.scheduler.reconciler import Reconciler
from services.scheduler.rollouts import Rollouts
from services.scheduler.settings import SchedulerSettings
from services.scheduler.starting import Starter
from shared.identity import Callers
from shared.logs import get_logger
from shared.process import Ground, Service

logger = get_logger(__name__)


@asynccontextmanager
async def build(ground: Ground) -> AsyncGenerator[Service]:
    settings: SchedulerSettings = ground.settings
    engine = engines.make(settings.engine, settings)
    if engine.warning:
        logger.warning(engine.warning)
    starter = Starter(engine, ground.database, ConfigReader(ground.bus), settings)
    rollouts = Rollouts(ground.database, ground.bus, starter, settings.instance)
    gateways = Gateways(ground.database, ground.bus)
    reconciler = Reconciler(ground.database, starter, gateways)
    callers = Callers(ground.bus.bucket("signing-keys"))
    yield Service(
        api=application(Operations(ground.database, starter), callers),
        handlers=HANDLERS,
        duties=[
            callers.watch,
            gateways.watch,
            gateways.note,
            rollouts.work,
            reconciler.work,
            reconciler.heed,
            reconciler.housekeep,
        ],
    )
    await engine.close()
