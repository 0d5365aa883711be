"""The HTTP side of a service: errors as problem documents, health, and a server on any address."""

import asyncio
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response

from shared.errors import Invalid, MoorageError, Unavailable
from shared.logs import get_logger

logger = get_logger(__name__)

API = "/-/api/v1"
PROBLEM = "application/problem+json"


def problem(error: MoorageError) -> Response:
    """The problem response (RFC 9457) of an error."""
    headers: dict[str, str] = {}
    if isinstance(error, Unavailable):
        headers["Retry-After"] = str(max(1, round(error.retry_after)))
    body = {
        "type": "about:blank",
        "title": error.title,
        "status": error.status,
        "detail": error.detail,
    }
    return JSONResponse(body, error.status, headers=headers, media_type=PROBLEM)


def api(title: str) -> FastAPI:
    """An application whose errors are problem documents with one sentence that says what to do."""
    app = FastAPI(title=title, docs_url=None, redoc_url=None, openapi_url=None)

    async def on_error(_: Request, error: Exception) -> Response:
        assert isinstance(error, MoorageError)
        return problem(error)

    async def on_invalid(_: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        return problem(Invalid(_sentence(error)))

    async def on_crash(_: Request, error: Exception) -> Response:
        return problem(MoorageError("The platform had an error of its own; its log says which."))

    app.add_exception_handler(MoorageError, on_error)
    app.add_exception_handler(RequestValidationError, on_invalid)
    app.add_exception_handler(Exception, on_crash)
    return app


def _sentence(error: RequestValidationError) -> str:
    """What is wrong with a request, without repeating the values sent (they may be secrets)."""
    parts = [
        f"{'.'.join(str(step) for step in found['loc'][1:]) or 'the body'}: {found['msg']}"
        for found in error.errors()
    ]
    return f"The request is not as documented ({'; '.join(parts)})."


class Server(uvicorn.Server):
    """uvicorn, started and stopped by the process it lives in; signals are not its business."""

    def install_signal_handlers(self) -> None:  # older uvicorn
        return

    def capture_signals(self) -> Any:
        import contextlib

        return contextlib.nullcontext()


def server(application: Any, listen: str) -> Server:
    """A server for `application` on "unix:/path" or "tcp:host:port"."""
    where: dict[str, Any]
    if listen.startswith("unix:"):
        path = Path(listen.removeprefix("unix:"))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        where = {"uds": str(path)}
    else:
        host, _, port = listen.removeprefix("tcp:").rpartition(":")
        where = {"host": host, "port": int(port)}
    config = uvicorn.Config(
        application,
        **where,
        log_config=None,
        access_log=False,
        lifespan="off",
        http="httptools",
        ws="none",
        loop="none",
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=5,
        timeout_graceful_shutdown=10,
    )
    return Server(config)


async def wait_started(running: Server, task: "asyncio.Task[None]") -> None:
    """Return when the server accepts connections; raise what kept it from starting."""
    while not running.started:
        if task.done():
            task.result()
            raise RuntimeError("The HTTP server ended before it had started.")
        await asyncio.sleep(0.005)
