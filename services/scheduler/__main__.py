from pathlib import Path

from services.scheduler.app import build
from services.scheduler.settings import SchedulerSettings
from shared.process import run

run("scheduler", SchedulerSettings, build, Path(__file__).parent / "migrations")
