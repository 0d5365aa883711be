from pathlib import Path

from services.git_ingest.app import build
from services.git_ingest.settings import GitIngestSettings
from shared.process import run

if __name__ == "__main__":
    run("git_ingest", GitIngestSettings, build, Path(__file__).parent / "migrations")
