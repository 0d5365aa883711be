"""The kinds of error the platform knows.

Each message is one sentence that tells the reader what to do. The kinds are mapped once to problem
responses (`shared.http`) and once to what the bus does with a message (`shared.bus.outcomes`).
"""


class MoorageError(Exception):
    """Base of the errors that are meant to be read by a person."""

    status = 500
    title = "Internal error"

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class Invalid(MoorageError):
    """What was sent cannot be right, now or later."""

    status = 400
    title = "Invalid request"


class Unauthenticated(MoorageError):
    """Nobody we know is asking."""

    status = 401
    title = "Sign-in needed"


class Forbidden(MoorageError):
    """We know who is asking, and they may not."""

    status = 403
    title = "Not allowed"


class NotFound(MoorageError):
    """The thing asked for does not exist (or may not be known to exist)."""

    status = 404
    title = "Not found"


class Conflict(MoorageError):
    """Right in itself, but not with what is there already."""

    status = 409
    title = "Conflict"


class Unavailable(MoorageError):
    """Something we need does not answer; the same request may succeed later.

    `retry_after` is in seconds.
    """

    status = 503
    title = "Not available at the moment"

    def __init__(self, detail: str, retry_after: float = 2.0) -> None:
        super().__init__(detail)
        self.retry_after = retry_after


KINDS: dict[int, type[MoorageError]] = {
    kind.status: kind
    for kind in (Invalid, Unauthenticated, Forbidden, NotFound, Conflict, Unavailable)
}
