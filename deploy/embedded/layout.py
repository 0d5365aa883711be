"""Where things lie under the data folder."""

import hashlib
import os
import tempfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

LONGEST_SOCKET_FOLDER = 70
"""A unix socket's path may have 107 bytes; this leaves room for the names below the folder."""

CHECKOUT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Layout:
    """The data folder, `MOORAGE_HOME`."""

    home: Path

    @classmethod
    def from_environment(cls) -> "Layout":
        return cls(Path(os.environ.get("MOORAGE_HOME") or CHECKOUT / ".moorage").resolve())

    @cached_property
    def run(self) -> Path:
        """Folder of sockets and pid files: in the data folder unless its path is too long."""
        inside = self.home / "run"
        if len(str(inside)) <= LONGEST_SOCKET_FOLDER:
            return inside
        digest = hashlib.sha256(str(self.home).encode()).hexdigest()[:12]
        base = os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir()
        return Path(base) / f"moorage-{os.getuid()}-{digest}"

    @property
    def keys(self) -> Path:
        return self.home / "keys"

    @property
    def logs(self) -> Path:
        return self.home / "logs"

    @property
    def postgres(self) -> Path:
        return self.home / "postgres"

    @property
    def postgres_socket(self) -> Path:
        return self.run / "postgres"

    @property
    def nats(self) -> Path:
        return self.home / "nats"

    @property
    def openbao(self) -> Path:
        return self.home / "openbao"

    @property
    def admin_password(self) -> Path:
        return self.home / "admin-password"

    @property
    def admin_token(self) -> Path:
        return self.home / "admin-token"

    def socket(self, instance: str) -> Path:
        return self.run / f"{instance}.sock"

    def make(self) -> None:
        """Make the folders; those with secrets are closed to everybody else."""
        self.home.mkdir(parents=True, exist_ok=True)
        # PostgreSQL's own account must be able to pass through to its folders.
        for folder, mode in (
            (self.home, 0o711),
            (self.run, 0o711),
            (self.keys, 0o700),
            (self.logs, 0o700),
            (self.nats, 0o700),
            (self.openbao, 0o700),
            (self.home / "git", 0o700),
        ):
            folder.mkdir(parents=True, exist_ok=True)
            folder.chmod(mode)
