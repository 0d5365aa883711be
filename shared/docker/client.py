"""The engine's API, and its errors in our words."""

from collections.abc import Generator
from contextlib import contextmanager

import aiohttp
from aiodocker import Docker, DockerError

from shared.errors import Conflict, Invalid, NotFound, Unavailable

NO_ANSWER = "Docker's engine does not answer; the administrator should see whether it runs."
CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 30.0
"""Between two pieces of an answer; what streams for ever has no limit."""
NOT_REACHED = 900
"""The status that aiodocker gives when nothing answers at the engine's socket."""


def connect(url: str) -> Docker:
    """A client of the engine at `url` ("unix:///run/docker.sock"); to be made in a running loop.

    Nothing is asked yet, so it succeeds without an engine.
    """
    limits = aiohttp.ClientTimeout(sock_connect=CONNECT_SECONDS, sock_read=ANSWER_SECONDS)
    return Docker(url, timeout=limits)


@contextmanager
def in_our_words(what: str = "It") -> Generator[None]:
    """Raise `NotFound`, `Conflict`, `Invalid` or `Unavailable` for what the engine says.

    `what` begins the sentence where the thing itself is missing.
    """
    try:
        yield
    except DockerError as error:
        match error.status:
            case 404:
                raise NotFound(f"{what} is not there any more.") from error
            case 409:
                raise Conflict(_sentence(error.message)) from error
            case 400:
                raise Invalid(_sentence(error.message)) from error
            case status if status == NOT_REACHED:
                raise Unavailable(NO_ANSWER) from error
            case _:
                raise Unavailable(f"Docker's engine refuses: {_sentence(error.message)}") from error
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        raise Unavailable(NO_ANSWER) from error


def _sentence(message: str) -> str:
    text = " ".join(message.split())[:300]
    return text if text.endswith(".") else f"{text}."
