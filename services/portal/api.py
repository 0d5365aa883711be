"""The portal's REST API."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Query, Response

from services.portal import store
from services.portal.apps import Apps
from services.portal.bodies import AppChanges, NewApp
from services.portal.catalogue import App, described, role_of, toward, visible
from services.portal.links import Links
from services.portal.presence import Presence
from services.portal.states import States
from shared.bus import Bus
from shared.database import Database
from shared.errors import Conflict, Forbidden, NotFound
from shared.http import API, api
from shared.identity import AppRole, Caller, Callers


@dataclass(frozen=True)
class Rooms:
    """What the API and the page are made from."""

    database: Database
    bus: Bus
    apps: Apps
    states: States
    presence: Presence
    links: Links
    openapi_file: Path

    def described(self, caller: Caller, app: App) -> dict[str, Any]:
        """An app as the API shows it to `caller`."""
        role = role_of(caller, app)
        return described(app, role, self.links.app(app.name), self.states.of(app.name))


def application(rooms: Rooms, callers: Callers) -> FastAPI:
    """The API alone; the page is added in `app.py`."""
    served = api("Portal")
    for router in (
        _apps(rooms, callers),
        _operations(rooms, callers),
        _dead_letters(rooms, callers),
    ):
        served.include_router(router, prefix=API)
    return served


def openapi() -> dict[str, Any]:
    """This service's part of the platform's OpenAPI document."""
    nobody: Any = None
    return application(nobody, Callers(nobody)).openapi()


def _apps(rooms: Rooms, callers: Callers) -> APIRouter:
    router = APIRouter(tags=["apps"])
    Who = Annotated[Caller, Depends(callers)]

    @router.get("/apps")
    async def list_apps(who: Who) -> list[dict[str, Any]]:
        """The apps that you may open."""
        return [rooms.described(who, app) for app in visible(who, await rooms.apps.all())]

    @router.post("/apps", status_code=201)
    async def create_app(body: NewApp, response: Response, who: Who) -> dict[str, Any]:
        """Create an app that you own. For developers and administrators."""
        if not who.may_create_apps:
            raise Forbidden(
                f"{who.user} may not create apps; ask an administrator for the developer role."
            )
        if not await rooms.apps.create(
            body.name, who.user, body.title, body.description, tuple(body.tags)
        ):
            raise Conflict(f"You have an app '{body.name}' already; push to it or rename this one.")
        response.headers["Location"] = f"{API}/apps/{body.name}"
        return rooms.described(who, await rooms.apps.get(body.name))

    @router.get("/apps/{app}")
    async def show_app(app: str, who: Who) -> dict[str, Any]:
        """One app."""
        found = await rooms.apps.get(app)
        toward(who, found).require(AppRole.VIEWER)
        return rooms.described(who, found)

    @router.patch("/apps/{app}")
    async def describe_app(app: str, body: AppChanges, who: Who) -> dict[str, Any]:
        """Change title, description or tags. For collaborators."""
        toward(who, await rooms.apps.get(app)).require(AppRole.COLLABORATOR)
        changes = body.model_dump(exclude_none=True)
        return rooms.described(who, await rooms.apps.describe(app, changes, who.user))

    @router.delete("/apps/{app}", status_code=204)
    async def delete_app(app: str, who: Who) -> None:
        """Delete an app with its releases, config and secrets, for good. For owners."""
        toward(who, await rooms.apps.get(app)).require(AppRole.OWNER)
        await rooms.apps.delete(app, who.user)

    return router


def _operations(rooms: Rooms, callers: Callers) -> APIRouter:
    router = APIRouter(tags=["platform"])
    Who = Annotated[Caller, Depends(callers)]

    @router.get("/events")
    async def list_events(
        who: Who,
        app: str | None = None,
        limit: Annotated[int, Query(ge=1, le=1000)] = 50,
    ) -> list[dict[str, Any]]:
        """What happened last, newest first, to the apps that you may open."""
        return await store.activity(rooms.database, await _scope(rooms, who, app), limit)

    @router.get("/status")
    async def show_status(who: Who) -> list[dict[str, Any]]:
        """The processes of the platform; with addresses for administrators."""
        return await rooms.presence.rows(details=who.is_admin)

    @router.get("/openapi.json", include_in_schema=False)
    async def show_openapi(_: Who) -> dict[str, Any]:
        try:
            return json.loads(rooms.openapi_file.read_text())
        except OSError:
            raise NotFound(
                "This installation has no API document; 'make generate' makes it."
            ) from None

    return router


def _dead_letters(rooms: Rooms, callers: Callers) -> APIRouter:
    router = APIRouter(prefix="/dead-letters", tags=["platform"])
    Who = Annotated[Caller, Depends(callers)]

    @router.get("")
    async def list_letters(who: Who) -> list[dict[str, Any]]:
        """Events that a service gave up. For administrators."""
        who.require_admin()
        return await rooms.bus.dead_letters.list()

    @router.post("/{letter}/replay", status_code=204)
    async def replay_letter(letter: int, who: Who) -> None:
        """Publish the event once more and drop the letter. For administrators."""
        who.require_admin()
        await rooms.bus.dead_letters.replay(letter)
        await _audit(rooms, who, "dead-letter.replay", letter)

    @router.delete("/{letter}", status_code=204)
    async def drop_letter(letter: int, who: Who) -> None:
        """Drop the letter. For administrators."""
        who.require_admin()
        await rooms.bus.dead_letters.delete(letter)
        await _audit(rooms, who, "dead-letter.drop", letter)

    return router


async def _scope(rooms: Rooms, who: Caller, app: str | None) -> list[str] | None:
    """The apps whose events `who` asked for and may read; None means all, for administrators."""
    if app is None:
        if who.is_admin:
            return None
        return [found.name for found in visible(who, await rooms.apps.all())]
    if not who.is_admin:  # who may also look up what happened to a deleted app
        toward(who, await rooms.apps.get(app)).require(AppRole.VIEWER)
    return [app]


async def _audit(rooms: Rooms, who: Caller, action: str, letter: int) -> None:
    async with rooms.database.transaction() as tx:
        await store.add_audit(tx, who.user, action, None, {"letter": letter})
