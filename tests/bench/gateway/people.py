"""Who asks, and with what: the gateway's table, cookies, and heads as Chromium sends them."""

import http.client
import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from shared.identity import Signer, new_key, public_part

HOST = "apps.example.org"
ORIGIN = f"http://{HOST}"
ONE_APP = "bench"
PEOPLE = 64
ASKED_APPS = 100
"""Of many apps only so many are asked for, spread evenly."""


def app_names(count: int) -> list[str]:
    return [ONE_APP] if count == 1 else [f"app-{number:06}" for number in range(count)]


def route(app: str, addresses: Sequence[str], revision: int = 1) -> dict[str, Any]:
    """A route's document with an instance at each address."""
    instances = enumerate(addresses, 1)
    return {
        "app": app,
        "revision": revision,
        "release": revision,
        "state": "running",
        "targets": [
            {"instance": f"{app}.web.{revision}-{number}", "address": address}
            for number, address in instances
        ],
        "retiring": [],
        "prefix_mode": "keep",
        "sticky": False,
        "reason": "",
    }


def access(app: str) -> dict[str, Any]:
    """Everybody here may open it, by a grant to a group."""
    grants = [{"kind": "user", "name": "eve", "role": "collaborator"}]
    grants.append({"kind": "group", "name": "analysts", "role": "viewer"})
    return {"app": app, "mode": "restricted", "owner": "ann", "grants": grants}


def person(user: str) -> dict[str, Any]:
    return {
        "user": user,
        "email": f"{user}@example.org",
        "name": user.title(),
        "role": "viewer",
        "groups": ["everyone", "analysts"],
        "active": True,
        "sessions_valid_from": 0,
    }


@dataclass
class People:
    """The signed-in visitors and their keys."""

    session_key: dict[str, Any] = field(default_factory=new_key)
    identity_key: dict[str, Any] = field(default_factory=new_key)
    names: tuple[str, ...] = tuple(f"person{number:02}" for number in range(PEOPLE))

    def session(self, user: str) -> str:
        now = int(time.time())
        claims = {"iss": "moorage", "sub": user, "sid": f"s-{user}", "iat": now, "exp": now + 7200}
        return Signer(self.session_key).sign(claims)

    def write_home(
        self, home: Path, apps: Sequence[str], addresses: Sequence[str], public: Sequence[str] = ()
    ) -> None:
        """The files from which a gateway starts: its table and its signing key."""
        folder = home / "gateway"
        folder.mkdir(parents=True, mode=0o700)
        (folder / "table.json").write_bytes(orjson.dumps(self.table(apps, addresses, public)))
        (folder / "identity-key.json").write_bytes(orjson.dumps(self.identity_key))

    def table(
        self, apps: Sequence[str], addresses: Sequence[str], public: Sequence[str]
    ) -> dict[str, Any]:
        """Bucket -> key -> document; `public` are apps that anybody may open."""
        rules = [access(app) for app in apps]
        rules += [access(app) | {"mode": "public"} for app in public]
        return {
            "routes": {app: route(app, addresses) for app in apps},
            "access": {rule["app"]: rule for rule in rules},
            "people": {user: person(user) for user in self.names},
            "tokens": {},
            "signing-keys": dict([self._key(self.session_key, "session")])
            | dict([self._key(self.identity_key, "identity")]),
            "targets": {},
        }

    def _key(self, key: dict[str, Any], use: str) -> tuple[str, dict[str, Any]]:
        kid = key["kid"]
        return kid, {"kid": kid, "use": use, "jwk": public_part(key), "not_after": None}


BROWSER = (
    ("Connection", "keep-alive"),
    ("sec-ch-ua-platform", '"Linux"'),
    (
        "User-Agent",
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
        "Chrome/142.0.0.0 Safari/537.36",
    ),
    ("sec-ch-ua", '"Chromium";v="142", "Not_A Brand";v="99"'),
    ("sec-ch-ua-mobile", "?0"),
    ("Accept", "*/*"),
    ("Sec-Fetch-Site", "same-origin"),
    ("Sec-Fetch-Mode", "cors"),
    ("Sec-Fetch-Dest", "empty"),
    ("Accept-Encoding", "gzip, deflate, br, zstd"),
    ("Accept-Language", "en-GB,en;q=0.9"),
)
SOCKET = (
    ("Connection", "Upgrade"),
    ("Pragma", "no-cache"),
    ("Cache-Control", "no-cache"),
    BROWSER[2],
    ("Upgrade", "websocket"),
    ("Origin", ORIGIN),
    ("Sec-WebSocket-Version", "13"),
    *BROWSER[-2:],
    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ("Sec-WebSocket-Extensions", "permessage-deflate; client_max_window_bits"),
)


@dataclass
class Visit:
    """One person's visit to one app, as a browser has it: cookies longest path first."""

    app: str
    session: str
    app_cookie: str = ""

    @property
    def cookies(self) -> str:
        own = f"{self.app_cookie}; " if self.app_cookie else ""
        return f"{own}moorage_session={self.session}; _xsrf=2|5d1f; theme=dark"

    def get(self, size: str, *more: tuple[str, str]) -> bytes:
        """A GET as a page's own script makes it; `size` is a path of the backend."""
        referer = ("Referer", f"{ORIGIN}/{self.app}/")
        return self._head("GET", size, (*BROWSER, referer, *more))

    def bare_get(self, size: str) -> bytes:
        """A GET with no header that it can be without."""
        return _lines(
            f"GET /{self.app}/{size} HTTP/1.1",
            [("Host", HOST), ("Cookie", f"moorage_session={self.session}")],
        )

    def post(self, size: str, body: bytes) -> bytes:
        more = (("Content-Type", "application/octet-stream"), ("Origin", ORIGIN))
        length = ("Content-Length", str(len(body)))
        referer = ("Referer", f"{ORIGIN}/{self.app}/")
        return self._head("POST", size, (length, *BROWSER, *more, referer)) + body

    def handshake(self) -> bytes:
        return self._head("GET", "ws", SOCKET)

    def _head(self, method: str, size: str, headers: tuple[tuple[str, str], ...]) -> bytes:
        line = f"{method} /{self.app}/{size} HTTP/1.1"
        return _lines(line, [("Host", HOST), *headers, ("Cookie", self.cookies)])

    def open_page(self, port: int) -> None:
        """Navigate to the app at the gateway and keep the cookie that it gives for the app."""
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        headers = dict(BROWSER) | {
            "Host": HOST,
            "Accept": "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8",
            "Sec-Fetch-Site": "none",
            "Sec-Fetch-Mode": "navigate",
            "Sec-Fetch-Dest": "document",
            "Cookie": self.cookies,
        }
        connection.request("GET", f"/{self.app}/1k", headers=headers)
        answer = connection.getresponse()
        answer.read()
        connection.close()
        given = [value.partition(";")[0] for value in answer.headers.get_all("Set-Cookie") or ()]
        self.app_cookie = "; ".join(given)


def visits(people: People, apps: list[str], gateway_port: int) -> list[Visit]:
    """A visit of each person to an app; with many apps, of somebody to each app asked for."""
    asked = apps if len(apps) == 1 else apps[:: max(1, len(apps) // ASKED_APPS)]
    sessions = [people.session(user) for user in people.names]
    count = max(len(asked), len(sessions))
    pairs = itertools.islice(zip(itertools.cycle(asked), itertools.cycle(sessions)), count)
    made = [Visit(app, session) for app, session in pairs]
    for visit in made:
        visit.open_page(gateway_port)
    return made


def _lines(first: str, headers: list[tuple[str, str]]) -> bytes:
    lines = [first, *(f"{name}: {value}" for name, value in headers)]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("ascii")
