"""The HTTP side: config vars with their values, secrets by name only.

Bodies are read by hand, not by the framework: its messages repeat what was sent.
"""

import json
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Request, Response

from services.secrets.changes import Changes
from services.secrets.variables import DOCUMENT_BYTES, Patch, read_patch
from shared.errors import Invalid
from shared.http import API, api
from shared.identity import AppRole, Caller, Callers

BODY_BYTES = 4 * DOCUMENT_BYTES
"""JSON may need several bytes for one of a value; whatever is longer is too much in any case."""

PATCH_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "additionalProperties": {"type": ["string", "null"]},
                    "example": {"NAME": "value", "OLD_NAME": None},
                }
            }
        },
    }
}


def application(changes: Changes, callers: Callers) -> FastAPI:
    """The API of this service."""
    served = api("Secrets")
    served.include_router(_router(changes, callers), prefix=f"{API}/apps/{{app}}")
    return served


def openapi() -> dict[str, Any]:
    """This service's part of the platform's OpenAPI document."""
    nobody: Any = None
    return application(nobody, Callers(nobody)).openapi()


def _router(changes: Changes, callers: Callers) -> APIRouter:
    router = APIRouter(tags=["config and secrets"])
    Who = Annotated[Caller, Depends(callers)]

    @router.get("/config")
    async def read_config(app: str, response: Response, who: Who) -> dict[str, str]:
        """The app's config vars with their values. For collaborators."""
        who.require(AppRole.COLLABORATOR)
        found = await changes.read(app)
        response.headers.update(_headers(found.version))
        return found.document["config"]

    @router.patch("/config", openapi_extra=PATCH_BODY)
    async def change_config(
        app: str, request: Request, response: Response, who: Who
    ) -> dict[str, str]:
        """Set config vars, remove those that are null; the app goes over to them by itself."""
        who.require(AppRole.COLLABORATOR)
        made = await changes.change(app, "config", await _patch(request), who.user)
        response.headers.update(_headers(made.version))
        return made.document["config"]

    @router.get("/secrets")
    async def list_secrets(app: str, response: Response, who: Who) -> list[str]:
        """The names of the app's secrets; their values are shown to nobody."""
        who.require(AppRole.COLLABORATOR)
        found = await changes.read(app)
        response.headers.update(_headers(found.version))
        return sorted(found.document["secrets"])

    @router.patch("/secrets", openapi_extra=PATCH_BODY)
    async def change_secrets(app: str, request: Request, response: Response, who: Who) -> list[str]:
        """Set secrets, remove those that are null; answers with the names there are then."""
        who.require(AppRole.COLLABORATOR)
        made = await changes.change(app, "secrets", await _patch(request), who.user)
        response.headers.update(_headers(made.version))
        return sorted(made.document["secrets"])

    return router


def _headers(version: int) -> dict[str, str]:
    """The config version, and that no cache may keep the answer."""
    return {"ETag": f'"{version}"', "Cache-Control": "no-store"}


async def _patch(request: Request) -> Patch:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > BODY_BYTES:
            raise Invalid(f"Send at most {BODY_BYTES // 1024} KiB at once.")
    try:
        parsed = json.loads(body)
    except (ValueError, RecursionError):
        parsed = None
    return read_patch(parsed)
