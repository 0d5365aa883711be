"""What `moorage login` remembers: one token per platform, and which platform was used last."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from moorage.errors import Trouble


@dataclass(frozen=True)
class Login:
    """A person on one platform."""

    url: str
    user: str
    token: str = field(repr=False)


class Logins:
    """The file of saved logins, readable by its owner alone."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def current(self) -> Login | None:
        """The login of the platform that was signed in to last."""
        return self.at(self._read().get("current", ""))

    def at(self, url: str) -> Login | None:
        """The login saved for the platform at `url`."""
        saved = self._read().get("logins", {}).get(url)
        return Login(url, saved["user"], saved["token"]) if saved else None

    def save(self, login: Login) -> None:
        """Remember `login` and make its platform the current one."""
        content = self._read()
        content.setdefault("logins", {})[login.url] = {"user": login.user, "token": login.token}
        content["current"] = login.url
        self._write(content)

    def forget(self, url: str) -> bool:
        """Forget the login at `url`; false when there was none."""
        content = self._read()
        if content.get("logins", {}).pop(url, None) is None:
            return False
        if content.get("current") == url:
            content["current"] = next(iter(content["logins"]), "")
        self._write(content)
        return True

    def _read(self) -> dict[str, Any]:
        try:
            return json.loads(self.path.read_text())
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise Trouble(
                f"cannot read {self.path} ({error}): remove it and log in again"
            ) from error

    def _write(self, content: dict[str, Any]) -> None:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            draft = self.path.with_suffix(f".{os.getpid()}")
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "w") as file:
                json.dump(content, file, indent=2)
            draft.replace(self.path)
        except OSError as error:
            raise Trouble(f"cannot write {self.path}: {error.strerror}") from error


def logins_path(environ: Mapping[str, str]) -> Path:
    """Where logins lie by the XDG base directory specification."""
    base = environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    return Path(base) / "moorage" / "config.json"
