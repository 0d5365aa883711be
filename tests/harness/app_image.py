"""The image that apps are built on, in the tests' own engine.

Making it takes a minute or two, so what was made is kept in the checkout and loaded in seconds;
`deploy.images` itself decides whether that is still what it would make. No single test has that
much time: `make test-integration` and `make test-acceptance` run this module first.
"""

import os
import subprocess
import sys

from deploy.embedded.layout import CHECKOUT
from shared.docker.settings import DockerSettings
from tests.harness.docker import CannotStart, DockerServer, Missing

NAME: str = DockerSettings.model_fields["docker_app_image"].default
KEPT = CHECKOUT / ".build" / "tests" / "app-image.tar"
MAKING_SECONDS = 900


def ensure(server: DockerServer) -> None:
    """Let `server` have the image, made from this checkout."""
    if KEPT.exists():
        _load(server)
    loaded = _identity(server)
    _make(server)
    if _identity(server) != loaded:
        _keep(server)


def _make(server: DockerServer) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "deploy.images", "app"],
        cwd=CHECKOUT,
        env={**os.environ, "DOCKER_HOST": server.url},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=MAKING_SECONDS,
    )
    assert done.returncode == 0, f"the image {NAME} could not be made:\n{done.stdout[-2000:]}"


def _identity(server: DockerServer) -> str | None:
    with server.client() as client:
        found = client.get(f"/images/{NAME}/json")
    return found.json()["Id"] if found.status_code == 200 else None


def _load(server: DockerServer) -> None:
    with server.client() as client, KEPT.open("rb") as archive:
        client.post("/images/load", params={"quiet": True}, content=archive).raise_for_status()


def _keep(server: DockerServer) -> None:
    """With what it is built on, which would have to be made again otherwise."""
    names = [NAME, NAME.replace("/app:", "/base:")]
    part = KEPT.with_suffix(f".{os.getpid()}")
    part.parent.mkdir(parents=True, exist_ok=True)
    with (
        server.client() as client,
        client.stream("GET", "/images/get", params={"names": names}) as answer,
        part.open("wb") as file,
    ):
        answer.raise_for_status()
        for piece in answer.iter_bytes():
            file.write(piece)
    part.replace(KEPT)


def main() -> None:
    """Have the image ready; where there can be no engine, the tests say so themselves."""
    try:
        server = DockerServer.make()
    except Missing as error:
        print(error)
        return
    try:
        server.start()
        ensure(server)
    except CannotStart as error:
        print(error)
    finally:
        server.remove()


if __name__ == "__main__":
    main()
