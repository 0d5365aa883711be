"""URLs of apps and the commands that put one there."""

from dataclasses import dataclass
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Links:
    """Built on the platform's public URL, without a slash at its end."""

    public_url: str

    @property
    def host(self) -> str:
        return urlsplit(self.public_url).netloc

    def app(self, name: str) -> str:
        return f"{self.public_url}/{name}/"

    def git(self, name: str) -> str:
        return f"{self.public_url}/-/git/{name}.git"

    def commands(self, name: str) -> list[str]:
        """The three commands that turn a folder into a live app."""
        return [
            'git init -b main && git add . && git commit -m "First version"',
            f"git remote add moorage {self.git(name)}",
            "git push moorage main",
        ]
