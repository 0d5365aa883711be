from pathlib import Path

from services.portal.app import build
from services.portal.settings import PortalSettings
from shared.process import run

if __name__ == "__main__":
    run("portal", PortalSettings, build, Path(__file__).parent / "migrations")
