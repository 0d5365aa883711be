"""Failed sign-ins slow down who makes them, and nobody else.

Counted per user name and client address: a guesser waits longer and longer, up to a minute, while
the real user signs in from elsewhere as ever. Waiting is all there is; nothing is ever locked.
"""

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from math import ceil

from services.auth import store
from shared.database import Database
from shared.errors import Unavailable

FREE = 5
"""Failures before the first wait."""
LONGEST_SECONDS = 60.0
FORGET_SECONDS = 900.0
"""After so long without a failure everything is forgotten."""

Clock = Callable[[], float]


class TooManyAttempts(Unavailable):
    """Wait before you try again."""

    status = 429
    title = "Too many attempts"


@dataclass(frozen=True)
class Failures:
    """How many sign-ins failed in a row, and when the last one did (epoch seconds)."""

    count: int = 0
    last: float = 0.0

    def wait(self, now: float) -> float:
        """Seconds to wait from `now` until the next attempt is looked at."""
        if self._forgotten(now) or self.count < FREE:
            return 0.0
        delay = min(2.0 ** min(self.count - FREE, 16), LONGEST_SECONDS)
        # A clock that went back must not lengthen the wait.
        return max(0.0, min(delay, self.last + delay - now))

    def another(self, now: float) -> "Failures":
        """One more, at `now`."""
        return Failures(1 if self._forgotten(now) else self.count + 1, now)

    def _forgotten(self, now: float) -> bool:
        return now - self.last > FORGET_SECONDS


class Attempts:
    """The failures as PostgreSQL has them, so that several processes agree."""

    def __init__(self, database: Database, clock: Clock = time.time) -> None:
        self._database = database
        self._clock = clock

    async def begin(self, user: str, address: str) -> None:
        """Count an attempt before it is judged, so that many at once gain nothing.

        Raises `TooManyAttempts` when it comes too early; such an attempt is not counted.
        """
        now = self._clock()
        async with self._database.transaction() as tx:
            failures = Failures(*await store.lock_attempts(tx, _who(user, address)))
            wait = failures.wait(now)
            if wait == 0.0:
                counted = failures.another(now)
                await store.set_attempts(tx, _who(user, address), counted.count, counted.last)
        if wait > 0.0:
            seconds = ceil(wait)
            unit = "second" if seconds == 1 else "seconds"
            raise TooManyAttempts(
                f"Too many failed sign-ins; wait {seconds} {unit} and try again.", seconds
            )

    async def succeeded(self, user: str, address: str) -> None:
        """Forget the failures of somebody who has shown to be who they say."""
        await store.forget_attempts(self._database, _who(user, address))

    async def prune(self) -> None:
        await store.prune_attempts(self._database, self._clock() - FORGET_SECONDS)


def _who(user: str, address: str) -> bytes:
    """A key of fixed length, whatever was typed as a user name (sometimes it is the password)."""
    return hashlib.sha256(f"{address}\n{user}".encode(errors="replace")).digest()
