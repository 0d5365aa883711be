"""The platform's HTTP API, and the sentences for when it does not answer as it should."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

import httpx

from moorage import __version__
from moorage.errors import Trouble
from moorage.platform import Platform

API = "/-/api/v1"
PATIENCE = httpx.Timeout(30.0, connect=10.0)
ENDLESS = httpx.Timeout(30.0, connect=10.0, read=None)


class Client:
    """Calls of the API as one person; every failure is a `Trouble`.

    Answers are JSON values, `None` for an empty answer.
    """

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._http = httpx.Client(base_url=platform.url, headers=_headers(platform.token))

    def get(self, path: str, **query: str | int) -> Any:
        return self._call("GET", path, params=query)

    def post(self, path: str, body: Any = None) -> Any:
        return self._call("POST", path, json=body)

    def put(self, path: str, body: Any) -> Any:
        return self._call("PUT", path, json=body)

    def patch(self, path: str, body: Any) -> Any:
        return self._call("PATCH", path, json=body)

    def delete(self, path: str) -> Any:
        return self._call("DELETE", path)

    @contextmanager
    def stream(self, method: str, path: str, **request: Any) -> Iterator[Iterator[bytes]]:
        """The body of an answer in pieces as they come, for as long as it takes."""
        with (
            _in_words(self._platform.url),
            self._http.stream(method, API + path, timeout=ENDLESS, **request) as answer,
        ):
            if answer.status_code != 200:
                answer.read()
                _expect_success(answer)
            yield answer.iter_bytes()

    def _call(self, method: str, path: str, **request: Any) -> Any:
        with _in_words(self._platform.url):
            answer = self._http.request(method, API + path, timeout=PATIENCE, **request)
        _expect_success(answer)
        return _json(answer) if answer.content else None


def sign_in(url: str, user: str, password: str) -> str:
    """A new API token for a user name and a password."""
    body = {"username": user, "password": password}
    with _in_words(url):
        answer = httpx.post(f"{url}{API}/login", json=body, headers=_headers(), timeout=PATIENCE)
    if answer.status_code == 401:
        raise Trouble("wrong user name or password")
    _expect_success(answer)
    token = _json(answer).get("token")
    if not token:
        raise _stranger(answer)
    return token


def segment(name: str) -> str:
    """`name` as one segment of a path, whatever it holds."""
    return quote(name, safe="")


def app_path(app: str, rest: str = "") -> str:
    """The path of an app's resource below the API."""
    return f"/apps/{segment(app)}{rest}"


def _headers(token: str = "") -> dict[str, str]:
    headers = {"User-Agent": f"moorage/{__version__}", "Accept": "application/json"}
    return headers | ({"Authorization": f"Bearer {token}"} if token else {})


@contextmanager
def _in_words(url: str) -> Iterator[None]:
    try:
        yield
    except httpx.ConnectTimeout as error:
        raise Trouble(f"{url} does not answer: check the address and the network") from error
    except httpx.TimeoutException as error:
        raise Trouble(f"{url} took too long to answer: try again") from error
    except httpx.ConnectError as error:
        raise Trouble(
            f"cannot reach {url} ({error}): check the address and that the platform is up"
        ) from error
    except (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError) as error:
        raise Trouble(f"{url} broke the connection off ({error}): try again") from error
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise Trouble(f"cannot speak to {url}: {error}") from error


def _expect_success(answer: httpx.Response) -> None:
    if answer.is_success:
        return
    said = _detail(answer)
    if answer.status_code == 401:
        raise Trouble(f"{said or 'the token is not accepted'}: run `moorage login`")
    if said:
        raise Trouble(said)
    if answer.status_code in (502, 503, 504):
        raise Trouble("this part of the platform is not up just now: try again in a moment")
    raise _stranger(answer)


def _detail(answer: httpx.Response) -> str:
    """What a problem document (RFC 9457) says, "" when the answer is none."""
    if "json" not in answer.headers.get("content-type", ""):
        return ""
    try:
        body = answer.json()
    except ValueError:
        return ""
    said = body.get("detail") or body.get("title") if isinstance(body, dict) else None
    return said.rstrip(".") if isinstance(said, str) else ""


def _json(answer: httpx.Response) -> Any:
    try:
        return answer.json()
    except ValueError as error:
        raise _stranger(answer) from error


def _stranger(answer: httpx.Response) -> Trouble:
    kind = answer.headers.get("content-type", "no content type").split(";")[0]
    return Trouble(
        f"{answer.request.url} answered {answer.status_code} ({kind}), "
        "which is not what a Moorage platform says: check the address"
    )
