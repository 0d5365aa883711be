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

    @property
    def address(self) -> str:
        """Where other processes of this machine reach the gateway."""
        return self.advertise or f"127.0.0.1:{self.port}"

    @property
    def scheme(self) -> str:
        """How people reach the platform: https where TLS ends in front of us."""
        return "https" if self.public_url.startswith("https:") else "http"
