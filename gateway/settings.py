"""Settings of a gateway process."""

from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from pydantic import model_validator

from shared.settings import Settings


class GatewaySettings(Settings):
    """Where it listens and how long it waits; `instance` is this gateway's id in its events."""

    listen: str = ""
    """Not used: a gateway listens on `bind` and `port`."""
    bind: str = "0.0.0.0"
    """The address to listen on; "127.0.0.1" behind a proxy on the same machine."""
    port: int = 8080
    drain_seconds: float = 30.0
    """How long WebSockets to a retiring instance are kept."""
    stop_seconds: float = 10.0
    """How long requests under way may take to finish when the gateway stops."""
    restart_seconds: float = 3600.0
    """How long they may take when a worker is replaced by a fresh one."""
    gateway_workers: int = 1
    """Worker processes; 0 is one for each core. Read by their parent."""

    tls_port: int = 0
    """Where TLS is spoken; 0 is nowhere. With TLS, `port` only leads to it."""
    tls_dir: Path | None = None
    """The folder of certificates and keys; `home`/tls if it is not set."""
    hsts_seconds: int = 31_536_000
    """How long browsers shall insist on TLS once they have seen it (RFC 6797); 0: not said."""

    access_log: str | None = None
    """The file of the access log, `home`/logs/access.log if it is not set; "-" is the standard
    output, and nothing keeps none."""

    platform_host: str = ""
    """The platform's own host name, where it does not share one with the apps."""
    apps_host: str = ""
    """The host name under which apps are told apart by path, where the platform has its own."""
    apps_domain: str = ""
    """The domain below which every app has a host of its own, `app.apps_domain`."""
    trusted_proxies: str = ""
    """Networks of proxies whose `Forwarded` and `X-Forwarded-*` count, with commas between."""

    app_concurrent: int = 5000
    """Requests of one app under way in one worker; this and what follows holds for apps without
    limits of their own, and 0 is unlimited."""
    app_body_bytes: int = 0
    app_answer_seconds: float = 900.0
    """How long an app may take to begin its answer."""
    app_idle_seconds: float = 3600.0
    """How long nothing may be sent either way while a request or WebSocket is under way."""
    app_rate: float = 0.0
    """Requests a second of one client."""
    app_burst: int = 0

    @model_validator(mode="after")
    def _hosts_belong_together(self) -> Self:
        if self.platform_host and not (self.apps_host or self.apps_domain):
            raise ValueError(
                "MOORAGE_PLATFORM_HOST alone leaves no place for the apps; set MOORAGE_APPS_HOST,"
                " MOORAGE_APPS_DOMAIN or both"
            )
        if self.apps_host and not self.platform_host:
            raise ValueError("MOORAGE_APPS_HOST needs MOORAGE_PLATFORM_HOST beside it")
        if self.apps_host and self.apps_host.lower() == self.platform_host.lower():
            raise ValueError("MOORAGE_PLATFORM_HOST and MOORAGE_APPS_HOST must differ")
        return self

    @property
    def address(self) -> str:
        """Where other processes of this machine reach the gateway."""
        return self.advertise or f"127.0.0.1:{self.port}"

    @property
    def access_log_path(self) -> str:
        default = str(self.home / "logs" / "access.log")
        return default if self.access_log is None else self.access_log

    @property
    def certificates(self) -> Path:
        return self.tls_dir if self.tls_dir not in (None, Path()) else self.home / "tls"

    @property
    def host_names(self) -> list[str]:
        """Under which names people reach this gateway, as certificates write them."""
        own = (urlsplit(self.public_url).hostname, self.platform_host, self.apps_host)
        domain = self.apps_domain.lower()
        return [name.lower() for name in own if name] + ([f"*.{domain}"] if domain else [])

    @property
    def tls_authority(self) -> str:
        """Host and port of the TLS side as people type them."""
        public = urlsplit(self.public_url)
        port = public.port or 443 if public.scheme == "https" else self.tls_port
        host = public.hostname or "localhost"
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    @property
    def scheme(self) -> str:
        """How people reach the platform: https where TLS ends in front of us."""
        return "https" if self.public_url.startswith("https:") else "http"
