"""A small platform to speak to: the API's answers over real HTTP, and git's own server program.

It stands for the services' side of the contract only; pushes are accepted or refused by a hook.
"""

import asyncio
import base64
import os
import subprocess
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse, StreamingResponse

API = "/-/api/v1"
TOKEN = "mrg_" + "t" * 43
HOOK = """#!/bin/sh
echo "Building ..." >&2
if [ -e refuse ]; then echo "No app was found." >&2; exit 1; fi
"""


class Stand:
    """What the stand-in platform has been told, and what it answers."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.calls: list[tuple[str, str, Any]] = []
        self.answers: dict[tuple[str, str], Any] = {}
        self.refusals: dict[str, Response] = {}
        self.app = FastAPI()
        self.app.add_api_route("/-/git/{repository}/{rest:path}", self.git, methods=["GET", "POST"])
        self.app.add_api_route(API + "/{path:path}", self.api, methods=[*METHODS])

    def told(self, method: str, path: str) -> list[Any]:
        """The bodies sent to one place of the API."""
        return [body for called, at, body in self.calls if (called, at) == (method, path)]

    async def api(self, path: str, request: Request) -> Response:
        raw = await request.body()
        place = f"/{path}"
        self.calls.append((request.method, place, await request.json() if raw else None))
        if place in self.refusals:
            return self.refusals[place]
        if place == "/login":
            return self._login(await request.json())
        if request.headers.get("authorization") != f"Bearer {TOKEN}":
            return problem(401, "Sign in, or send a token.")
        if (request.method, place) not in self.answers:
            return problem(404, f"There is nothing at {place}.")
        answer = self.answers[request.method, place]
        if isinstance(answer, list) and answer and isinstance(answer[0], bytes):
            return StreamingResponse(_pieces(answer), media_type="text/plain")
        return JSONResponse(answer) if answer is not None else Response(status_code=204)

    def _login(self, body: Any) -> Response:
        if body == {"username": "ada", "password": "correct horse"}:
            return JSONResponse({"token": TOKEN})
        return problem(401, "Wrong user name or password.")

    async def git(self, repository: str, rest: str, request: Request) -> Response:
        given = request.headers.get("authorization", "").removeprefix("Basic ")
        if base64.b64decode(given).decode().partition(":")[2] != TOKEN:
            return PlainTextResponse("", 401, {"WWW-Authenticate": 'Basic realm="git"'})
        if not (self.home / repository).exists():
            self.make(repository)
        environment = self._cgi(repository, rest, request)
        child = await asyncio.create_subprocess_exec(
            "git", "http-backend", stdin=-1, stdout=-1, env=environment
        )
        out, _ = await child.communicate(await request.body())
        head, _, body = out.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
        status = int(headers.pop("Status", "200").split()[0])
        return Response(body, status, headers)

    def make(self, repository: str) -> Path:
        """A bare repository with the hook."""
        path = self.home / repository
        subprocess.run(["git", "init", "-q", "--bare", "-b", "main", str(path)], check=True)
        hook = path / "hooks" / "pre-receive"
        hook.write_text(HOOK)
        hook.chmod(0o755)
        return path

    def files(self, app: str) -> dict[str, str]:
        """What is deployed: each file's name and content."""
        return {name: self.ask(app, "show", f"main:{name}") for name in self._names(app)}

    def history(self, app: str) -> list[str]:
        """The subjects of the deployed commits, newest first."""
        return self.ask(app, "log", "--format=%s", "main").splitlines()

    def ask(self, app: str, *arguments: str) -> str:
        done = subprocess.run(
            ["git", *arguments], cwd=self.home / f"{app}.git", capture_output=True, check=True
        )
        return done.stdout.decode().rstrip("\n")

    def _names(self, app: str) -> list[str]:
        return self.ask(app, "ls-tree", "-r", "--name-only", "main").splitlines()

    def _cgi(self, repository: str, rest: str, request: Request) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "GIT_PROJECT_ROOT": str(self.home),
            "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": f"/{repository}/{rest}",
            "REMOTE_USER": "ada",
            "REMOTE_ADDR": "127.0.0.1",
            "REQUEST_METHOD": request.method,
            "QUERY_STRING": request.url.query,
            "CONTENT_TYPE": request.headers.get("content-type", ""),
            "HTTP_CONTENT_ENCODING": request.headers.get("content-encoding", ""),
            "GIT_PROTOCOL": request.headers.get("git-protocol", ""),
        }


METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


def problem(status: int, detail: str) -> Response:
    """An error as the platform answers it (RFC 9457)."""
    body = {"status": status, "title": "Error", "detail": detail}
    return JSONResponse(body, status, media_type="application/problem+json")


def page(status: int) -> Response:
    """An answer of something that is no platform."""
    return HTMLResponse("<h1>It works!</h1>", status)


async def _pieces(answer: list[bytes]) -> Any:
    for piece in answer:
        yield piece
        await asyncio.sleep(0)


class Server(uvicorn.Server):
    """Serves a stand on a free port of loopback, in a thread."""

    def __init__(self, stand: Stand) -> None:
        self.stand = stand
        super().__init__(uvicorn.Config(stand.app, port=0, log_level="error", lifespan="off"))

    @property
    def url(self) -> str:
        port = self.servers[0].sockets[0].getsockname()[1]
        return f"http://127.0.0.1:{port}"
