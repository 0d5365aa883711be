"""HTTP: the builds of an app, and the log of each."""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI
from fastapi.responses import StreamingResponse

from services.builder import store
from shared.database import Database
from shared.errors import NotFound
from shared.http import API, api
from shared.identity import AppRole, Caller, Callers

FOLLOW_SECONDS = 0.25
ENDED = ("succeeded", "failed", "cancelled")


def application(database: Database, callers: Callers) -> FastAPI:
    """The API of this service."""
    served = api("Builder")
    served.include_router(router(database, callers))
    return served


def openapi() -> dict[str, Any]:
    """This service's part of the platform's OpenAPI document."""
    nobody: Any = None
    return application(nobody, Callers(nobody)).openapi()


def router(database: Database, callers: Callers) -> APIRouter:
    """`GET .../builds` and `GET .../builds/{id}/log`, for collaborators of the app."""
    routes = APIRouter(prefix=f"{API}/apps/{{app}}/builds", tags=["builds"])

    async def list_builds(
        app: str, caller: Annotated[Caller, Depends(callers)]
    ) -> list[dict[str, Any]]:
        """The latest builds, newest first; times are ISO 8601."""
        caller.require(AppRole.COLLABORATOR)
        return [dict(row) for row in await store.builds_of(database, app)]

    async def read_log(
        app: str, build_id: str, caller: Annotated[Caller, Depends(callers)], follow: bool = False
    ) -> StreamingResponse:
        """The log as text; with `follow` until the build has ended."""
        caller.require(AppRole.COLLABORATOR)
        if await store.state_of(database, app, build_id) is None:
            raise NotFound(f"'{app}' has no build {build_id}; list them with 'GET .../builds'.")
        lines = _lines(database, app, build_id, follow)
        return StreamingResponse(lines, media_type="text/plain; charset=utf-8")

    routes.add_api_route("", list_builds, methods=["GET"])
    routes.add_api_route("/{build_id}/log", read_log, methods=["GET"], response_model=None)
    return routes


async def _lines(database: Database, app: str, build_id: str, follow: bool) -> AsyncIterator[bytes]:
    attempt, number = 0, 0
    while True:
        # The state is read first: lines are written before a build ends.
        state = await store.state_of(database, app, build_id)
        while rows := await store.log_of(database, build_id, attempt, number):
            attempt, number = rows[-1]["attempt"], rows[-1]["number"]
            yield "".join(f"{row['line']}\n" for row in rows).encode()
        if not follow or state is None or state in ENDED:
            return
        await asyncio.sleep(FOLLOW_SECONDS)
