"""Where Docker's engine is, and what belongs to the platform in it."""

import os
from ipaddress import IPv4Network
from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


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
