from pathlib import Path

from services.router.app import build
from services.router.settings import RouterSettings
from shared.process import run

if __name__ == "__main__":
    run("router", RouterSettings, build, Path(__file__).parent / "migrations")
