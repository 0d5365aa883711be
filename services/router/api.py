"""The router's part of the API: how much traffic an app may take, and where it is served."""

import json
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Request

from services.router.limits import LIMITS, read_wish
from services.router.traffic import Traffic
from shared.errors import Invalid
from shared.http import API, api
from shared.identity import AppRole, Caller, Callers

BODY_BYTES = 16 * 1024

WISH_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "additionalProperties": False,
                    "properties": {
                        "limits": {
                            "type": "object",
                            "additionalProperties": False,
                            "properties": {
                                limit.name: {
                                    "type": ["integer" if limit.whole else "number", "null"],
                                    "minimum": limit.least,
                                    "maximum": limit.most,
                                    "description": f"{limit.counts}; null: as the platform has it",
                                }
                                for limit in LIMITS.values()
                            },
                        },
                        "isolated": {
                            "type": "boolean",
                            "description": "served on a host of its own only",
                        },
                    },
                    "example": {"limits": {"concurrent": 50, "rate": None}, "isolated": False},
                }
            }
        },
    }
}


def application(traffic: Traffic, callers: Callers) -> FastAPI:
    """The API of this service."""
    served = api("Router")
    served.include_router(_router(traffic, callers), prefix=f"{API}/apps/{{app}}")
    return served


def openapi() -> dict[str, Any]:
    """This service's part of the platform's OpenAPI document."""
    nobody: Any = None
    return application(nobody, Callers(nobody)).openapi()


def _router(traffic: Traffic, callers: Callers) -> APIRouter:
    router = APIRouter(tags=["traffic"])
    Who = Annotated[Caller, Depends(callers)]

    @router.get("/traffic")
    async def read_traffic(app: str, who: Who) -> dict[str, Any]:
        """How much traffic the app may take, and what of it is the platform's own value."""
        who.require(AppRole.COLLABORATOR)
        return await traffic.read(app)

    @router.patch("/traffic", openapi_extra=WISH_BODY)
    async def change_traffic(app: str, request: Request, who: Who) -> dict[str, Any]:
        """Change limits, take back those that are null, isolate the app. For its owner."""
        who.require(AppRole.OWNER)
        return await traffic.change(app, read_wish(await _body(request)), who)

    return router


async def _body(request: Request) -> Any:
    raw = bytearray()
    async for chunk in request.stream():
        raw += chunk
        if len(raw) > BODY_BYTES:
            raise Invalid(f"Send at most {BODY_BYTES // 1024} KiB at once.")
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        return None
