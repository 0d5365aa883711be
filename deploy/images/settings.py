"""What a site may set for the making of images."""

import os
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from deploy.images import mirrors

PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")


class ImageSettings(BaseSettings):
    """Environment variables beginning with `MOORAGE_`, and DOCKER_HOST.

    Python's packages are fetched by uv on this machine, with the settings that `make up` takes as
    well: `UV_*`, `PIP_*`, `*_PROXY` and `SSL_CERT_FILE`. The proxies serve Debian's packages too.
    """

    model_config = SettingsConfigDict(env_prefix="MOORAGE_", extra="ignore")

    docker_url: str = Field(
        default_factory=lambda: os.environ.get("DOCKER_HOST") or "unix:///var/run/docker.sock"
    )
    debian_mirror: str = Field(default_factory=mirrors.of_machine)
    """Where Debian's packages come from; without it where this machine gets its own, if it is of
    the same Debian. The images keep it."""
    debian_security_mirror: str = ""
    """The same for security updates; without it `debian_mirror` with "debian-security" at its end.
    """
    image_base: str = ""
    """A Debian image of a registry to build on, instead of one that is made here."""
    ca_file: Path | None = None
    """Certificates (PEM) of authorities that the images are to trust besides Debian's. Without it
    those of SSL_CERT_FILE, if that is not the system's own file, and those that were added to this
    machine."""

    @field_validator("debian_mirror", "debian_security_mirror")
    @classmethod
    def _without_password(cls, url: str) -> str:
        """It can be read in every image."""
        if url and (urlsplit(url).scheme not in ("http", "https") or "@" in urlsplit(url).netloc):
            raise ValueError("give an http or https URL without a password")
        return url.rstrip("/")

    @property
    def security_mirror(self) -> str:
        return self.debian_security_mirror or mirrors.security_of(self.debian_mirror)


def proxies(environ: Mapping[str, str]) -> dict[str, str]:
    """A site's proxies, in capitals and in small letters: some programs, apt among them, know only
    one of both."""
    given = {name: environ.get(name) or environ.get(name.lower()) for name in PROXIES}
    return {form: url for name, url in given.items() if url for form in (name, name.lower())}
