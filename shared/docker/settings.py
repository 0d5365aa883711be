"""Where Docker's engine is, and what belongs to the platform in it."""

import os
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Literal

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

Network = IPv4Network | IPv6Network


class DockerSettings(BaseSettings):
    """Settings of the processes that speak to Docker's engine."""

    model_config = SettingsConfigDict(env_prefix="MOORAGE_", extra="ignore")

    docker_url: str = Field(
        default_factory=lambda: os.environ.get("DOCKER_HOST") or "unix:///var/run/docker.sock"
    )
    """The engine's address; without it what DOCKER_HOST says, or else the usual socket."""
    docker_app_image: str = "moorage/app:0.1.0"
    """The image that apps are built on; `make images` makes it."""
    docker_networks: IPv4Network = IPv4Network("10.213.0.0/16")
    """The networks of apps are cut out of this one, a /28 for each app."""
    docker_data: Literal["folder", "volume"] = "folder"
    """Where apps keep their files: in the data folder, or, where that is not on the engine's own
    machine, in volumes of the engine."""
    app_egress: str = "open"
    """Where apps may connect to: "open" (anywhere but what is forbidden to all), "none", or
    networks with commas ("10.20.0.0/16,192.0.2.7")."""
    app_never: str = ""
    """Networks, with commas, that no app and no build may reach whatever `app_egress` says."""

    @field_validator("app_egress", "app_never")
    @classmethod
    def _are_networks(cls, value: str) -> str:
        if value not in ("open", "none"):
            networks(value)
        return value

    @property
    def egress(self) -> Literal["open", "none"] | tuple[Network, ...]:
        match self.app_egress:
            case "open":
                return "open"
            case "none" | "":
                return "none"
            case listed:
                return networks(listed)

    @property
    def never(self) -> tuple[Network, ...]:
        return networks(self.app_never)


def networks(text: str) -> tuple[Network, ...]:
    """Networks (or single addresses) with commas between them. Raises ValueError."""
    return tuple(ip_network(word.strip()) for word in text.split(",") if word.strip())
