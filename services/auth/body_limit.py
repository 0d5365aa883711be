"""A request to this service is small; whatever is longer is refused before it is held in memory."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.errors import Invalid
from shared.http import problem

LIMIT_BYTES = 256 * 1024


class BodyLimit:
    """Reads the body up to the limit, then hands the request on."""

    def __init__(self, application: ASGIApp) -> None:
        self._application = application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._application(scope, receive, send)
            return
        body = bytearray()
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message.get("body", b"")
            more = message.get("more_body", False)
            if len(body) > LIMIT_BYTES:
                refusal = problem(Invalid(f"Send at most {LIMIT_BYTES // 1024} KiB at once."))
                await refusal(scope, receive, send)
                return
        await self._application(scope, _replayed(bytes(body), receive), send)


def _replayed(body: bytes, receive: Receive) -> Receive:
    """The body once, then whatever comes after it."""
    sent = False

    async def again() -> Message:
        nonlocal sent
        if sent:
            return await receive()
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again
