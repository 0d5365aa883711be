"""The JSON API of people, tokens and access."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, FastAPI, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from services.auth import pages
from services.auth.access import Access
from services.auth.body_limit import BodyLimit
from services.auth.client_address import client_address
from services.auth.keys import Keys
from services.auth.people import People
from services.auth.sessions import Sessions
from services.auth.sign_in import SignIn
from services.auth.tokens import Tokens
from shared.errors import Forbidden
from shared.events.catalogue import Grant
from shared.http import API, api
from shared.identity import AppRole, Caller, Callers


@dataclass(frozen=True)
class Parts:
    """What the API works with."""

    sign_in: SignIn
    sessions: Sessions
    keys: Keys
    people: People
    tokens: Tokens
    access: Access
    login_token_days: int


class _Body(BaseModel):
    # A field that is misspelt must not silently mean its default.
    model_config = ConfigDict(extra="forbid")


Scope = Literal["open", "read", "write", "all"]
Role = Literal["admin", "developer", "viewer"]


class Login(_Body):
    """`days` is how long the token lasts, null for ever; left out: as the platform has it."""

    username: str
    password: str
    name: str = "login"
    days: int | None = None


class NewToken(_Body):
    name: str
    scopes: list[Scope] = Field(default_factory=lambda: list[Scope](["all"]))
    days: int | None = None


class NewPerson(_Body):
    user: str
    password: str
    email: str = ""
    name: str = ""
    role: Role = "viewer"
    groups: list[str] = Field(default_factory=list[str])


class PersonChanges(_Body):
    """What is left out stays as it is."""

    email: str | None = None
    name: str | None = None
    role: Role | None = None
    groups: list[str] | None = None
    active: bool | None = None
    password: str | None = None


class NewPassword(_Body):
    old: str
    new: str


class Rule(_Body):
    """`owner`, if given, hands the app over."""

    mode: Literal["public", "signed-in", "restricted"]
    grants: list[Grant] = Field(default_factory=list[Grant])
    owner: str | None = None


def application(parts: Parts, callers: Callers) -> FastAPI:
    """Pages and API of this service."""
    served = api("Auth")
    served.add_middleware(BodyLimit)
    served.include_router(pages.router(parts.sign_in, parts.sessions, parts.keys, callers))
    for router in (_accounts, _tokens, _people, _access):
        served.include_router(router(parts, callers), prefix=API)
    return served


def openapi() -> dict[str, Any]:
    """This service's part of the platform's OpenAPI document."""
    served = api("Auth")
    nobody: Any = None
    for router in (_accounts, _tokens, _people, _access):
        served.include_router(router(nobody, Callers(nobody)), prefix=API)
    return served.openapi()


def _accounts(parts: Parts, callers: Callers) -> APIRouter:
    router = APIRouter(tags=["account"])
    Who = Annotated[Caller, Depends(callers)]

    @router.post("/login")
    async def login(body: Login, request: Request, response: Response) -> dict[str, Any]:
        """A new API token for a user name and a password; its text is shown this once."""
        person = await parts.sign_in.person(body.username, body.password, client_address(request))
        days = body.days if "days" in body.model_fields_set else parts.login_token_days
        response.headers["Cache-Control"] = "no-store"
        return await parts.tokens.create(person["name"], body.name, ["all"], days)

    @router.get("/whoami")
    async def whoami(who: Who) -> dict[str, Any]:
        """As whom the platform knows the caller, and what the token they use may do."""
        return {
            "user": who.user,
            "email": who.email,
            "name": who.name,
            "role": who.platform_role,
            "groups": list(who.groups),
            "scopes": list(who.scopes),
        }

    @router.post("/password", status_code=204)
    async def change_password(body: NewPassword, request: Request, who: Who) -> None:
        """Change one's own password; everybody signed in with the old one is signed out."""
        _require_all(who)
        await parts.sign_in.person(who.user, body.old, client_address(request))
        await parts.people.set_password(who.user, body.new)

    return router


def _tokens(parts: Parts, callers: Callers) -> APIRouter:
    router = APIRouter(prefix="/tokens", tags=["tokens"])
    Who = Annotated[Caller, Depends(callers)]

    @router.get("")
    async def list_tokens(who: Who) -> list[dict[str, Any]]:
        """The caller's tokens, never their texts."""
        return await parts.tokens.list_of(who.user)

    @router.post("", status_code=201)
    async def create_token(body: NewToken, who: Who, response: Response) -> dict[str, Any]:
        """A new token of the caller's; its text is shown this once."""
        response.headers["Cache-Control"] = "no-store"
        scopes = [str(scope) for scope in body.scopes]
        return await parts.tokens.create_by(who, body.name, scopes, body.days)

    @router.delete("/{token_id}", status_code=204)
    async def revoke_token(token_id: str, who: Who) -> None:
        """End a token at once: one's own, or as an administrator anybody's."""
        await parts.tokens.revoke(who, token_id)

    return router


def _people(parts: Parts, callers: Callers) -> APIRouter:
    router = APIRouter(prefix="/users", tags=["users"])

    def admin(who: Annotated[Caller, Depends(callers)]) -> Caller:
        who.require_admin()
        return who

    Admin = Annotated[Caller, Depends(admin)]

    @router.get("")
    async def list_users(_: Admin) -> list[dict[str, Any]]:
        """Everybody. For administrators."""
        return await parts.people.list_all()

    @router.post("", status_code=201)
    async def add_user(body: NewPerson, who: Admin) -> dict[str, Any]:
        """Add a person. For administrators."""
        _require_all(who)
        person = body.model_dump(exclude={"password", "user", "name"})
        person |= {"name": body.user, "display_name": body.name}
        return await parts.people.add(person, body.password)

    @router.patch("/{name}")
    async def change_user(name: str, body: PersonChanges, who: Admin) -> dict[str, Any]:
        """Change a person; switched off, they are out at once. For administrators."""
        _require_all(who)
        changes = body.model_dump(exclude_none=True, exclude={"password"})
        if "name" in changes:
            changes["display_name"] = changes.pop("name")
        return await parts.people.change(name, changes, body.password)

    @router.delete("/{name}", status_code=204)
    async def delete_user(name: str, who: Admin) -> None:
        """Delete a person with their tokens and grants. For administrators."""
        _require_all(who)
        await parts.people.delete(name)

    return router


def _access(parts: Parts, callers: Callers) -> APIRouter:
    router = APIRouter(prefix="/apps/{app}/access", tags=["access"])
    Who = Annotated[Caller, Depends(callers)]

    @router.get("")
    async def read_access(app: str, who: Who) -> dict[str, Any]:
        """Who may open and change the app. For its owner."""
        who.require(AppRole.OWNER)
        return await parts.access.read(app)

    @router.put("")
    async def replace_access(app: str, body: Rule, who: Who) -> dict[str, Any]:
        """Replace who may open and change the app. For its owner."""
        who.require(AppRole.OWNER)
        return await parts.access.replace(app, body.mode, body.grants, body.owner)

    return router


def _require_all(who: Caller) -> None:
    """Passwords and people decide about all else, so a narrower token must not reach them."""
    if "all" not in who.scopes:
        raise Forbidden("This takes a token with the scope 'all'; make one with 'moorage tokens'.")
