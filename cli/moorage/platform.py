"""Which platform a verb speaks to, and as whom."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from moorage.errors import Trouble
from moorage.logins import Logins


@dataclass(frozen=True)
class Platform:
    """One Moorage installation and the token to use there."""

    url: str
    user: str
    token: str = field(repr=False)

    def app_url(self, app: str) -> str:
        return f"{self.url}/{app}/"

    def git_url(self, app: str) -> str:
        return f"{self.url}/-/git/{app}.git"


def find_platform(environ: Mapping[str, str], logins: Logins) -> Platform:
    """The platform of MOORAGE_URL and MOORAGE_TOKEN, completed by what `moorage login` saved."""
    url = environ.get("MOORAGE_URL")
    login = logins.at(clean_url(url)) if url else logins.current()
    token = environ.get("MOORAGE_TOKEN") or (login.token if login else "")
    address = clean_url(url) if url else (login.url if login else "")
    if not address:
        raise Trouble(
            "not logged in: run `moorage login URL`, or set MOORAGE_URL and MOORAGE_TOKEN"
        )
    if not token:
        raise Trouble(f"not logged in to {address}: run `moorage login {address}`")
    if not token.isascii() or not token.isprintable() or " " in token:
        raise Trouble("the token holds characters no token has: copy it again")
    return Platform(address, login.user if login else "moorage", token)


def clean_url(text: str) -> str:
    """`text` as scheme://host[:port], the form under which logins are saved."""
    given = text.strip() if "://" in text else f"https://{text.strip()}"
    try:
        parts = urlsplit(given)
        port = parts.port
    except ValueError as error:
        raise Trouble(f"{text!r} is not a web address: {error}") from error
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path.strip("/"):
        raise Trouble(f"{text!r} is not the address of a platform: give it as https://host[:port]")
    if parts.username or parts.password:
        raise Trouble("leave user and password out of the address: `moorage login` asks for them")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    default = {"http": 80, "https": 443}[parts.scheme]
    return f"{parts.scheme}://{host}" + (f":{port}" if port and port != default else "")
