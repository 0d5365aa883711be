"""Settings of a gateway process."""

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

    platform_host: str = ""
    """The platform's own host name, where it does not share one with the apps."""
    apps_host: str = ""
    """The host name under which apps are told apart by path, where the platform has its own."""
    apps_domain: str = ""
    """The domain below which every app has a host of its own, `app.apps_domain`."""
    trusted_proxies: str = ""
    """Networks of proxies whose `Forwarded` and `X-Forwarded-*` count, with commas between."""

    app_concurrent: int = 1000
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

    @property
    def address(self) -> str:
        """Where other processes of this machine reach the gateway."""
        return self.advertise or f"127.0.0.1:{self.port}"

    @property
    def scheme(self) -> str:
        """How people reach the platform: https where TLS ends in front of us."""
        return "https" if self.public_url.startswith("https:") else "http"
