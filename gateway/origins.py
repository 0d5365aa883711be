"""Which host serves what: the platform, apps by path, or one app on a host of its own.

Without settings one host serves everything. With them the platform and the apps are different
origins to a browser, which is what keeps a hostile app's page away from the platform, and a host
for each app is what keeps it away from other apps.
"""

import re
from typing import Literal, NamedTuple
from urllib.parse import urlsplit

from shared.names import is_app_name

Kind = Literal["all", "platform", "apps", "app", "unknown"]

_LOOPBACK = frozenset((b"localhost", b"127.0.0.1", b"[::1]"))
_PORT = re.compile(rb":[0-9]+$")
_MOST_KNOWN = 10_000


class Place(NamedTuple):
    """What a host is for; `app` is the one app it serves, if it serves but one."""

    kind: Kind
    app: bytes = b""

    @property
    def has_platform(self) -> bool:
        return self.kind in ("all", "platform")

    @property
    def has_paths(self) -> bool:
        """Are apps told apart by path here?"""
        return self.kind in ("all", "apps")


ALL = Place("all")
PLATFORM = Place("platform")
APPS = Place("apps")
UNKNOWN = Place("unknown")


class Origins:
    """Finds what a host is for. Host names are given without a port."""

    def __init__(
        self,
        public_url: str,
        platform_host: str = "",
        apps_host: str = "",
        apps_domain: str = "",
    ) -> None:
        parts = urlsplit(public_url)
        self.scheme = parts.scheme or "http"
        self._port = "" if parts.port is None else f":{parts.port}"
        self._public_host = (parts.hostname or "").encode()
        self._platform_host = platform_host.lower().encode()
        self._apps_host = apps_host.lower().encode()
        self._domain = ("." + apps_domain.lower()).encode() if apps_domain else b""
        named = platform_host.lower()
        self.platform = f"{self.scheme}://{named}{self._port}" if named else public_url.rstrip("/")
        self._known: dict[bytes, Place] = {}

    @property
    def secure(self) -> bool:
        return self.scheme == "https"

    def place(self, host: bytes) -> Place:
        """What `host` (lower case, perhaps with a port) is for."""
        known = self._known.get(host)
        if known is None:
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            known = self._known[host] = self._find(_PORT.sub(b"", host).removesuffix(b"."))
        return known

    def _find(self, name: bytes) -> Place:
        if name == self._apps_host and name:
            return APPS
        # The machine itself, for probes and scripts: no browser sends a cookie of ours there.
        if name in (self._platform_host, self._public_host) or name in _LOOPBACK:
            return PLATFORM if self._platform_host else ALL
        if self._domain and name.endswith(self._domain):
            app = name[: -len(self._domain)]
            return Place("app", app) if is_app_name(app.decode("latin-1")) else UNKNOWN
        return UNKNOWN if self._platform_host else ALL

    def of_app(self, app: str, isolated: bool) -> str | None:
        """The origin under which `app` is found; None when it may be served nowhere."""
        own = f"{self.scheme}://{app}{self._domain.decode()}{self._port}" if self._domain else None
        if isolated:
            return own
        if not self._platform_host:
            return self.platform
        if self._apps_host:
            return f"{self.scheme}://{self._apps_host.decode()}{self._port}"
        return own

    def serves_apps(self, url: str) -> str | None:
        """The host (with its port) of `url` if it is an origin of ours that serves apps alone."""
        parts = urlsplit(url)
        host = parts.netloc.lower()
        place = self.place(host.encode("latin-1", "replace"))
        port = "" if parts.port is None else f":{parts.port}"
        ours = parts.scheme == self.scheme and port == self._port and "@" not in host
        return host if ours and place.kind in ("apps", "app") else None
