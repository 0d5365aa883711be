from pathlib import Path

from services.auth.app import build
from services.auth.settings import AuthSettings
from shared.process import run

if __name__ == "__main__":
    run("auth", AuthSettings, build, Path(__file__).parent / "migrations")
