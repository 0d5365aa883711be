"""The page at `/`: the apps one may open, rendered here, searched as one types."""

import hashlib
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from fastapi.staticfiles import StaticFiles
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from services.portal.api import Rooms
from services.portal.catalogue import App, matches, visible
from shared.errors import Unauthenticated
from shared.identity import HEADER, Caller, Callers

HERE = Path(__file__).parent
STATIC = "/-/static"
SIGN_IN = "/-/auth/login?next=/"

SECURITY_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self';"
        " form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}

STATE_WORDS = {
    "empty": "Nothing pushed yet",
    "starting": "Starting",
    "running": "Running",
    "stopped": "Stopped",
    "crashed": "Crashed",
}

SHADES = 6
"""Colours that a card's picture may have; the name decides, so it stays the same."""


def page(rooms: Rooms, callers: Callers) -> APIRouter:
    """The route of the page; it is no part of the API's document."""
    router = APIRouter(include_in_schema=False)
    templates = _templates()

    @router.get("/")
    async def show(request: Request, q: str = "") -> Response:
        try:
            who = callers.verify(request.headers.get(HEADER))
        except Unauthenticated:
            return RedirectResponse(SIGN_IN, 303, headers={"Cache-Control": "no-store"})
        apps = visible(who, await rooms.apps.all())
        html = templates.get_template("home.html").render(_words(rooms, who, apps, q.strip()[:200]))
        return HTMLResponse(html, headers=SECURITY_HEADERS)

    return router


def static_files() -> StaticFiles:
    return StaticFiles(directory=HERE / "static")


def card(rooms: Rooms, app: App, query: str) -> dict[str, Any]:
    """What the page shows of one app."""
    title = app.title or app.name
    state = rooms.states.of(app.name)
    return {
        "name": app.name,
        "title": title,
        "initial": title[0].upper(),
        "shade": hashlib.sha256(app.name.encode()).digest()[0] % SHADES,
        "description": app.description,
        "owner": app.owner,
        "tags": app.tags,
        "href": f"/{app.name}/",
        "state": state["state"],
        "state_words": STATE_WORDS.get(state["state"], state["state"]),
        "deployed_at": app.deployed_at,
        "text": " ".join((app.name, title, app.owner, app.description, *app.tags)).lower(),
        "hidden": not matches(app, query),
    }


def _words(rooms: Rooms, who: Caller, apps: list[App], query: str) -> dict[str, Any]:
    cards = [card(rooms, app, query) for app in apps]
    return {
        "who": who,
        "cards": cards,
        "shown": sum(not shown["hidden"] for shown in cards),
        "query": query,
        "commands": rooms.links.commands("my-app"),
        "host": rooms.links.host,
        "static": STATIC,
    }


def _templates() -> Environment:
    return Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
