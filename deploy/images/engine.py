"""Docker's engine, as far as images need it: import, build, and a look into what was made."""

import io
import json
import tarfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

import httpx

from shared.errors import Invalid, Unavailable

PIECE_BYTES = 1 << 20
ANSWER_SECONDS = 30.0
Say = Callable[[str], None]


class BuildError(Exception):
    """A step of a build failed; all that it said went to `say` before."""


class Engine:
    """One engine, at "unix:///path" or "tcp://host:port"."""

    def __init__(self, url: str) -> None:
        """Raises `Invalid`."""
        self._url = url
        parts = urlsplit(url)
        match parts.scheme:
            case "unix":
                transport = httpx.HTTPTransport(uds=parts.path)
                self._client = httpx.Client(transport=transport, base_url="http://docker")
            case "tcp" | "http":
                self._client = httpx.Client(base_url=f"http://{parts.netloc}", trust_env=False)
            case _:
                raise Invalid(f"DOCKER_HOST is '{url}'; images need unix:///... or tcp://...")
        # A step of a build may be silent for as long as it takes.
        self._client.timeout = httpx.Timeout(ANSWER_SECONDS, read=None, write=None)

    @property
    def architecture(self) -> str:
        """As Debian calls it: "amd64", "arm64"."""
        return self._ask("GET", "/version").json()["Arch"]

    def find(self, image: str) -> dict[str, Any] | None:
        """What the engine knows of an image; None where it is not there."""
        answer = self._ask("GET", f"/images/{image}/json", (404,))
        return None if answer.is_error else answer.json()

    def load(self, root: Path) -> str:
        """Make an image of an archive of a whole file system; its id."""
        with root.open("rb") as file:
            said = self._stream("/images/create", {"fromSrc": "-"}, file)
            return [line["status"] for line in said if "status" in line][-1]

    def build(
        self,
        archive: IO[bytes],
        tag: str,
        labels: Mapping[str, str],
        arguments: Mapping[str, str],
        again: bool,
        say: Say,
    ) -> None:
        """Build an image of an archive with a Dockerfile; `again` uses nothing of earlier builds.

        Steps use this machine's own network, so that they reach what it reaches: a mirror at
        localhost, a name that only this machine knows. Raises `BuildError`.
        """
        asked = {
            "t": tag,
            "rm": "true",
            "forcerm": "true",
            "nocache": str(again).lower(),
            "networkmode": "host",
            "labels": json.dumps(labels),
            "buildargs": json.dumps(arguments),
        }
        for line in self._stream("/build", asked, archive):
            say(line.get("stream", ""))

    def remove(self, image: str) -> None:
        """Remove an image that has lost its name, unless something is still built on it."""
        self._ask("DELETE", f"/images/{image}", accepted=(404, 409))

    def run(self, image: str, command: list[str]) -> str:
        """What a command says in a container of its own, without a network. Raises `BuildError`."""
        asked: dict[str, Any] = {"Image": image, "Entrypoint": [], "Cmd": command, "Tty": True}
        asked["HostConfig"] = {"NetworkMode": "none"}
        container = self._ask("POST", "/containers/create", json=asked).json()["Id"]
        try:
            self._ask("POST", f"/containers/{container}/start")
            status = self._ask("POST", f"/containers/{container}/wait").json()["StatusCode"]
            said = self._ask("GET", f"/containers/{container}/logs", params={"stdout": "true"}).text
        finally:
            self._ask("DELETE", f"/containers/{container}", (404,), params={"force": "true"})
        if status:
            raise BuildError(f"'{' '.join(command)}' fails in {image}: {said.strip()[-300:]}")
        return said

    def read(self, image: str, path: str) -> dict[str, bytes]:
        """The files at or below a path of an image, by their names from that path's last part."""
        asked = {"Image": image, "Cmd": ["true"]}
        container = self._ask("POST", "/containers/create", json=asked).json()["Id"]
        try:
            at = f"/containers/{container}/archive"
            answer = self._ask("GET", at, (404,), params={"path": path})
        finally:
            self._ask("DELETE", f"/containers/{container}", (404,))
        return {} if answer.is_error else dict(_files(answer.content))

    def _ask(
        self, method: str, path: str, accepted: tuple[int, ...] = (), **more: Any
    ) -> httpx.Response:
        """The answer. Raises `Unavailable` unless it is a good one, or `accepted` all the same."""
        try:
            answer = self._client.request(method, path, **more)
        except httpx.TransportError as error:
            raise self._unreached(error) from error
        if answer.is_error and answer.status_code not in accepted:
            raise Unavailable(f"Docker's engine refuses: {_message(answer)}")
        return answer

    def _stream(
        self, path: str, asked: Mapping[str, str], body: IO[bytes]
    ) -> Iterator[dict[str, Any]]:
        """What the engine says of a long piece of work, line by line."""
        pieces = iter(lambda: body.read(PIECE_BYTES), b"")
        headers = {"Content-Type": "application/x-tar"}
        try:
            with self._client.stream(
                "POST", path, params=asked, content=pieces, headers=headers
            ) as answer:
                if answer.is_error:
                    answer.read()
                    raise BuildError(_message(answer))
                for line in answer.iter_lines():
                    said = json.loads(line)
                    if "error" in said:
                        raise BuildError(said["error"])
                    yield said
        except httpx.TransportError as error:
            raise self._unreached(error) from error

    def _unreached(self, error: httpx.TransportError) -> Unavailable:
        if "Permission denied" in str(error):
            return Unavailable(
                f"You may not use Docker's engine at {self._url}; become a member of the group "
                "'docker', or do it as root."
            )
        return Unavailable(
            f"No Docker engine answers at {self._url}; start it, or say in DOCKER_HOST where it is."
        )


def _files(archive: bytes) -> Iterator[tuple[str, bytes]]:
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        for entry in tar:
            if entry.isfile() and (file := tar.extractfile(entry)):
                yield entry.name, file.read()


def _message(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["message"])[:300]
    except (ValueError, KeyError):
        return answer.text[:300]
