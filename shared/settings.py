"""Settings that every process reads, from environment variables beginning with `MOORAGE_`."""

from pathlib import Path

from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """What a process must know to find the others; each service adds its own."""

    model_config = SettingsConfigDict(env_prefix="MOORAGE_", extra="ignore")

    home: Path
    """The data folder."""
    instance: str
    """Name of this process among others of its service, stable over restarts ("builder-1")."""
    listen: str
    """Where this process answers HTTP: "unix:/path" or "tcp:host:port"."""
    advertise: str | None = None
    """Where others reach it, if that differs from `listen`: "unix:/path" or "host:port"."""
    public_url: str = "http://localhost:8080"
    """The URL of the platform as people type it, without a slash at the end."""

    nats_url: str
    """"tls://host:port" (several with commas)."""
    nats_seed_file: Path
    """nkey seed of this service's NATS user."""
    nats_ca_file: Path | None = None
    nats_replicas: int = 1
    """Copies of each stream; 3 where three NATS servers form a cluster."""

    database_url: str = ""
    """"postgresql://role@host:port/database", or with "?host=/socket/folder"."""
    database_password_file: Path | None = None
    database_pool: int = 4
    """The most connections that this process holds for its queries."""

    log_level: str = "INFO"
    otlp_endpoint: str | None = None
    """Base URL of an OpenTelemetry collector (OTLP over HTTP); none: spans are not sent."""

    @property
    def address(self) -> str:
        """The address that others connect to: "unix:/path" or "host:port"."""
        return self.advertise or self.listen.removeprefix("tcp:")
