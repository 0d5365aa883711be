"""The scheduler's part of the API."""

from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Query
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

from services.scheduler.operations import Operations
from shared.http import API, api
from shared.identity import AppRole, Caller, Callers


class Rollback(BaseModel):
    """Which release to go back to; none: the one before the live one."""

    release: int | None = None


class Run(BaseModel):
    """A command and its arguments, run without a shell."""

    command: list[str]


def application(operations: Operations, callers: Callers) -> FastAPI:
    app = api("Scheduler")
    app.include_router(_router(operations, callers), prefix=f"{API}/apps/{{app}}")
    return app


def openapi() -> dict[str, Any]:
    """This service's part of the platform's OpenAPI document."""
    nothing: Any = None
    return application(nothing, Callers(nothing)).openapi()


def _router(operations: Operations, callers: Callers) -> APIRouter:
    router = APIRouter(tags=["running"])
    who_asks = Depends(callers)

    @router.get("/releases")
    async def list_releases(app: str, who: Caller = who_asks) -> list[dict[str, Any]]:
        """The app's releases, newest first."""
        who.require(AppRole.VIEWER)
        return await operations.releases(app)

    @router.get("/instances")
    async def list_instances(app: str, who: Caller = who_asks) -> list[dict[str, Any]]:
        """The app's instances and what they use."""
        who.require(AppRole.VIEWER)
        return await operations.instances(app)

    @router.post("/rollback", status_code=202)
    async def roll_back(app: str, body: Rollback, who: Caller = who_asks) -> dict[str, Any]:
        """Go back to an earlier release without a build."""
        who.require(AppRole.COLLABORATOR)
        return await operations.roll_back(app, body.release, who.user)

    @router.post("/restart", status_code=202)
    async def restart(app: str, who: Caller = who_asks) -> dict[str, Any]:
        """Replace every instance without downtime."""
        who.require(AppRole.COLLABORATOR)
        return await operations.restart(app)

    @router.get("/scale")
    async def formation(app: str, who: Caller = who_asks) -> dict[str, int]:
        """How many instances each process type shall have."""
        who.require(AppRole.VIEWER)
        return await operations.formation(app)

    @router.post("/scale")
    async def scale(app: str, body: dict[str, int], who: Caller = who_asks) -> dict[str, int]:
        """Change how many instances process types shall have."""
        who.require(AppRole.COLLABORATOR)
        return await operations.scale(app, body, who.user)

    @router.get("/logs")
    async def logs(
        app: str,
        lines: Annotated[int, Query(ge=0, le=10_000)] = 100,
        follow: bool = False,
        process: str | None = None,
        who: Caller = who_asks,
    ) -> StreamingResponse:
        """What the app's instances write; with `follow` as it comes."""
        who.require(AppRole.COLLABORATOR)
        found = await operations.logs(app, process, lines, follow)
        return StreamingResponse(_text(found), media_type="text/plain; charset=utf-8")

    @router.post("/run")
    async def run(app: str, body: Run, who: Caller = who_asks) -> StreamingResponse:
        """Run a command once in the app's environment; the last line is its exit status."""
        who.require(AppRole.COLLABORATOR)
        output = await operations.run(app, body.command)
        return StreamingResponse(_text(output), media_type="text/plain; charset=utf-8")

    return router


async def _text(lines: AsyncIterator[str]) -> AsyncIterator[str]:
    async for line in lines:
        yield line + "\n"
