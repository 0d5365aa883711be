from pathlib import Path

from services.builder.app import build
from services.builder.settings import BuilderSettings
from shared.process import run

if __name__ == "__main__":
    run("builder", BuilderSettings, build, Path(__file__).parent / "migrations")
