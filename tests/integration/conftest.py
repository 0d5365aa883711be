"""One Docker engine for all integration tests that want it."""

import os
from collections.abc import Iterator

import pytest

from tests.harness import app_image
from tests.harness.docker import CannotStart, DockerServer, Missing


@pytest.fixture(scope="session")
def docker_server() -> Iterator[DockerServer]:
    """An engine of the tests' own, with the image that apps are built on.

    Where dockerd gives up on this kind of machine its tests are skipped, with what it said; where
    something is not installed they are skipped too, but never in CI.
    """
    try:
        server = DockerServer.make()
    except Missing as error:
        pytest.fail(str(error)) if os.environ.get("CI") else pytest.skip(str(error))
    try:
        server.start()
        app_image.ensure(server)
        yield server
    except CannotStart as error:
        pytest.skip(str(error))
    finally:
        server.remove()


@pytest.fixture(scope="session")
def docker_host(docker_server: DockerServer) -> str:
    """The URL of its socket, as for DOCKER_HOST."""
    return docker_server.url
