"""Settings of the auth service."""

from pathlib import Path

from pydantic import Field

from shared.settings import Settings


class AuthSettings(Settings):
    """The key that seals the private keys, the first administrator, and a few spans of time."""

    auth_key_file: Path
    """32 random bytes in hexadecimal; whoever holds them and the database can sign anybody in."""
    admin_password_file: Path | None = None
    """The first password of `admin`, read when there is no user yet."""
    admin_token_file: Path | None = None
    """The text of a first API token of `admin`, read when there is no user yet."""

    auth_session_hours: float = Field(12.0, gt=0)
    """How long a sign-in lasts."""
    auth_key_days: float = Field(30.0, gt=0)
    """The age at which a signing key is replaced."""
    auth_compare_seconds: float = Field(15.0, gt=0)
    """How often the buckets are compared with the tables, were no notification ever to arrive."""
    auth_login_token_days: int = Field(90, gt=0)
    """How long a token made by `POST /-/api/v1/login` lasts unless the caller says otherwise."""

    @property
    def session_seconds(self) -> float:
        return self.auth_session_hours * 3600

    @property
    def key_seconds(self) -> float:
        return self.auth_key_days * 24 * 3600
