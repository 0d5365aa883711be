"""The pages of signing in and out, and the public keys. No script anywhere."""

import hashlib
from pathlib import Path
from urllib.parse import urlsplit

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from services.auth.client_address import client_address
from services.auth.keys import Keys
from services.auth.next_path import HOME, local_path
from services.auth.same_site import check_same_origin
from services.auth.sessions import Sessions
from services.auth.sign_in import SignIn
from shared.errors import MoorageError, Unauthenticated, Unavailable
from shared.identity import HEADER, Callers
from shared.names import is_app_name

HERE = Path(__file__).parent
AUTH = "/-/auth"
LOGIN = f"{AUTH}/login"

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; style-src 'self'; img-src data:; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
PAGE_HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # Without any referrer, browsers send "Origin: null" with the form.
    "Referrer-Policy": "same-origin",
}


class SignInPage:
    """Renders the sign-in form."""

    def __init__(self) -> None:
        loader = FileSystemLoader(HERE / "templates")
        environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined)
        self._template = environment.get_template("sign_in.html")
        self.style = (HERE / "static" / "sign_in.css").read_bytes()
        self._edition = hashlib.sha256(self.style).hexdigest()[:12]

    def render(
        self,
        wanted: str = HOME,
        user: str = "",
        refusal: MoorageError | None = None,
        signed_out: bool = False,
    ) -> HTMLResponse:
        """The form, with what was refused if something was."""
        html = self._template.render(
            action=LOGIN,
            style=f"{AUTH}/sign_in.css?{self._edition}",
            wanted=wanted,
            app=app_of(wanted),
            user=user,
            refusal=refusal.detail if refusal else "",
            signed_out=signed_out,
        )
        headers = dict(PAGE_HEADERS)
        if isinstance(refusal, Unavailable):
            headers["Retry-After"] = str(max(1, round(refusal.retry_after)))
        return HTMLResponse(html, refusal.status if refusal else 200, headers=headers)


def app_of(path: str) -> str:
    """The app whose page `path` is, or nothing."""
    first = urlsplit(path).path.split("/")[1]
    return first if is_app_name(first) else ""


def router(sign_in: SignIn, sessions: Sessions, keys: Keys, callers: Callers) -> APIRouter:
    """Everything under /-/auth/."""
    routes = APIRouter(prefix=AUTH, include_in_schema=False)
    page = SignInPage()

    @routes.get("/login")
    async def show(request: Request) -> Response:
        wanted = local_path(request.query_params.get("next"))
        if _is_known(request, callers):
            return _see(wanted)
        return page.render(wanted, signed_out="signed-out" in request.query_params)

    @routes.post("/login")
    async def enter(request: Request) -> Response:
        check_same_origin(request)
        form = await request.form()
        typed, password, wanted = (
            value if isinstance(value := form.get(name), str) else ""
            for name in ("username", "password", "next")
        )
        target = local_path(wanted)
        try:
            person = await sign_in.person(typed, password, client_address(request))
            response = _see(target)
            await sessions.begin(response, person)
        except MoorageError as refusal:
            return page.render(target, typed[:64], refusal)
        return response

    @routes.post("/logout")
    async def leave(request: Request) -> Response:
        check_same_origin(request)
        response = _see(f"{LOGIN}?signed-out")
        await sessions.end(request, response)
        return response

    @routes.get("/sign_in.css")
    async def style() -> Response:
        headers = {"Cache-Control": "public, max-age=31536000, immutable"}
        return Response(page.style, media_type="text/css", headers=headers)

    @routes.get("/jwks.json")
    async def published_keys() -> Response:
        headers = {"Cache-Control": "public, max-age=60"}
        return JSONResponse(await keys.published(), headers=headers)

    return routes


def _is_known(request: Request, callers: Callers) -> bool:
    try:
        callers.verify(request.headers.get(HEADER))
    except (Unauthenticated, Unavailable):
        return False
    return True


def _see(path: str) -> RedirectResponse:
    return RedirectResponse(path, 303, headers={"Cache-Control": "no-store"})
