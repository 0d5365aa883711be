"""Workers that have ended for good: whoever waits for word from them need not."""

import contextlib
import json
import os
import time
from collections.abc import Callable

MOST = 32
KEPT_SECONDS = 600.0
"""By far longer than anybody who was away takes to hear of it."""


class Gone:
    """The last of them, by name; a name is never used twice. Kept in a file if there is one."""

    def __init__(self, path: str = "", clock: Callable[[], float] = time.time) -> None:
        self._path = path
        self._clock = clock
        self._since: dict[str, float] = {}
        if path:
            self._read()

    @property
    def names(self) -> list[str]:
        oldest = self._clock() - KEPT_SECONDS
        return [name for name, since in self._since.items() if since > oldest][-MOST:]

    def add(self, name: str) -> None:
        if name in self._since:
            return
        self._since[name] = self._clock()
        self._since = {known: self._since[known] for known in self.names}
        if self._path:
            self._write()

    def _read(self) -> None:
        with contextlib.suppress(OSError, ValueError, TypeError, AttributeError):
            with open(self._path, "rb") as file:
                kept = json.load(file)
            self._since = {str(name): float(since) for name, since in kept.items()}

    def _write(self) -> None:
        # Lost in a crash it costs somebody a wait, so nothing is synced.
        beside = f"{self._path}.partial"
        with contextlib.suppress(OSError):
            with open(beside, "w") as file:
                json.dump(self._since, file)
            os.replace(beside, self._path)
