from pathlib import Path

from services.secrets.app import build
from services.secrets.settings import SecretsSettings
from shared.process import run

if __name__ == "__main__":
    run("secrets", SecretsSettings, build, Path(__file__).parent / "migrations")
