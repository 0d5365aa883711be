"""Request and reply, for the few edges where a person waits for the answer (`catalogue.CALLS`)."""

from collections.abc import Awaitable, Callable
from typing import Any

import orjson
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error

from shared.errors import KINDS, MoorageError, Unavailable
from shared.logs import get_logger

logger = get_logger(__name__)

Answerer = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]


async def ask(client: Client, call: str, payload: dict[str, Any], timeout: float) -> dict[str, Any]:
    """The answer to `call`; raises the error the other side answered, or `Unavailable`."""
    service = call.partition(".")[0]
    try:
        reply = await client.request(f"rpc.{call}", orjson.dumps(payload), timeout=timeout)
    except (Error, TimeoutError) as error:
        raise Unavailable(
            f"The platform's {service} service does not answer; try again in a moment."
        ) from error
    answer = orjson.loads(reply.data)
    if "error" in answer:
        raise _error(answer["error"])
    return answer["result"]


async def answer(client: Client, call: str, service: str, handler: Answerer) -> None:
    """Answer `call` from now on; several processes of `service` share the requests."""

    async def respond(message: Msg) -> None:
        try:
            document: dict[str, Any] = {"result": await handler(orjson.loads(message.data))}
        except MoorageError as error:
            document = {"error": {"status": error.status, "detail": error.detail}}
        except Exception:
            logger.exception("call failed", extra={"call": call})
            document = {"error": {"status": 503, "detail": f"The {service} service had an error."}}
        await message.respond(orjson.dumps(document))

    await client.subscribe(f"rpc.{call}", queue=service, cb=respond)


def _error(document: dict[str, Any]) -> MoorageError:
    return KINDS.get(document["status"], Unavailable)(document["detail"])
