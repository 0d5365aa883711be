"""Calls that may block, beside the traffic."""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

Result = TypeVar("Result")


async def beside(call: Callable[..., Result], *arguments: Any) -> Result:
    """The result of `call(*arguments)`, made in a thread that the end of the process does not wait
    for: a disk or a collector that hangs must not keep a worker from stopping."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Result] = loop.create_future()

    def settle(result: Any, error: BaseException | None) -> None:
        if future.cancelled():
            return
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(error)

    def run() -> None:
        result, failure = None, None
        try:
            result = call(*arguments)
        except Exception as error:
            failure = error
        with suppress(RuntimeError):  # the loop has been closed meanwhile
            loop.call_soon_threadsafe(settle, result, failure)

    threading.Thread(target=run, name=f"beside {call.__name__}", daemon=True).start()
    return await future
