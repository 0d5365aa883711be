"""What becomes of a message: one closed set, decided in one place.

| the handler                                   | outcome | what the bus does                     |
|-----------------------------------------------|---------|---------------------------------------|
| returned, or had handled this event before    | DONE    | ack                                   |
| raised `Unavailable` or anything unforeseen   | RETRY   | nak with a growing delay              |
| the same, for the last of `MAX_ATTEMPTS`      | DEAD    | dead letter, then term                |
| raised another of our errors                  | DEAD    | dead letter, then term                |
| never saw it: the message is no known event   | DEAD    | dead letter, then term                |
"""

from enum import Enum

from shared.errors import MoorageError, Unavailable

MAX_ATTEMPTS = 12
FIRST_DELAY_SECONDS = 0.2
LONGEST_DELAY_SECONDS = 30.0


class Outcome(Enum):
    DONE = "done"
    RETRY = "retry"
    DEAD = "dead"


def outcome_of(error: BaseException | None, attempt: int) -> Outcome:
    """The outcome of handling a message for the `attempt`-th time (from 1) with `error`."""
    if error is None:
        return Outcome.DONE
    if isinstance(error, MoorageError) and not isinstance(error, Unavailable):
        return Outcome.DEAD
    # A service that is away is no fault of the message: it waits as long as it takes.
    if isinstance(error, Unavailable):
        return Outcome.RETRY
    return Outcome.DEAD if attempt >= MAX_ATTEMPTS else Outcome.RETRY


def delay_before(attempt: int) -> float:
    """Seconds to wait after the `attempt`-th failed attempt: doubling, up to half a minute."""
    return min(FIRST_DELAY_SECONDS * 2 ** (attempt - 1), LONGEST_DELAY_SECONDS)
