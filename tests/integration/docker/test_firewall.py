"""What an app can connect to, tried from inside its container."""

import asyncio
import socket
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network
from typing import Any

import pytest

from shared.docker.client import connect
from shared.docker.firewall import Egress, apply
from shared.errors import Unavailable
from tests.harness import app_image
from tests.harness.docker import DockerServer
from tests.harness.platform import until
from tests.integration.docker.town import (
    COMPANY,
    COMPANY_HOST,
    GATEWAY,
    METADATA,
    NAMED,
    PORT,
    Town,
)

ELSEWHERE = IPv4Network("192.0.2.128/25")
EVERYWHERE = IPv4Network("0.0.0.0/0")
NEIGHBOUR, WORLD = {"neighbour"}, {"neighbour", "company"}
RESOLVERS = [IPv4Address(COMPANY_HOST), IPv4Address(GATEWAY)]


@pytest.fixture(scope="module")
def town(docker_server: DockerServer) -> Iterator[Town]:
    made = Town(docker_server)
    try:
        made.build()
        yield made
    finally:
        made.remove()


@pytest.fixture
def careless(town: Town) -> Iterator[None]:
    """With rules before all the engine's that accept whatever apps send."""
    town.accept_everything(True)
    yield
    town.accept_everything(False)


def places(town: Town) -> dict[str, tuple[str, int]]:
    return {
        "neighbour": (town.address("worker"), PORT),
        "host on the bridge": (town.gateway("sales"), town.port),
        "host elsewhere": (GATEWAY, town.port),
        "host over IPv6": (town.link_local("sales"), town.port),
        "published port": (GATEWAY, town.published),
        "company": (COMPANY_HOST, PORT),
        "metadata": (METADATA, PORT),
        "other app": (town.address("stock"), PORT),
    }


def reached(town: Town, container: str = "sales") -> set[str]:
    """The places that an app's container can connect to."""
    tried = places(town)
    answers = town.reach(container, *tried.values())
    return {place for place, answer in zip(tried, answers, strict=True) if answer}


def answers(host: str, port: int) -> bool:
    """Whether the tests themselves, which are on the host, can connect."""
    try:
        socket.create_connection((host, port), timeout=2).close()
    except OSError:
        return False
    return True


@pytest.mark.usefixtures("careless")
def test_without_rules_everything_is_reached(town: Town) -> None:
    """All that is refused below is really there."""
    town.expose()
    assert until(lambda: reached(town) == set(places(town)))
    assert town.reach("stranger", (town.address("sales"), PORT)) == [True]


@pytest.mark.parametrize(
    ("egress", "never", "found"),
    [
        ("open", [], WORLD),
        ("open", [COMPANY], NEIGHBOUR),
        ("none", [], NEIGHBOUR),
        ((COMPANY,), [], WORLD),
        ((ELSEWHERE,), [], NEIGHBOUR),
        ((EVERYWHERE,), [], WORLD),
        ((EVERYWHERE,), [COMPANY], NEIGHBOUR),
    ],
)
@pytest.mark.usefixtures("careless")
async def test_an_app_reaches_what_egress_says(
    town: Town, egress: Egress, never: list[IPv4Network], found: set[str]
) -> None:
    await town.protect(egress, never=never)
    assert reached(town) == found


@pytest.mark.usefixtures("careless")
async def test_only_the_host_reaches_an_app(town: Town) -> None:
    await town.protect("none")
    assert town.reach("stranger", (town.address("sales"), PORT)) == [False]
    assert answers(town.address("sales"), PORT)


async def test_the_rules_are_about_apps_alone(town: Town) -> None:
    await town.protect("none")
    assert answers("127.0.0.1", town.port)
    assert town.reach("stranger", (GATEWAY, town.port), (COMPANY_HOST, PORT)) == [True, True]


async def test_the_rules_outlast_an_engine_that_is_started_again(
    town: Town, docker_server: DockerServer
) -> None:
    await town.protect("open")
    assert reached(town) == WORLD
    docker_server.restart()
    assert reached(town) == WORLD
    docker_server.kill()
    docker_server.start()
    assert reached(town) == WORLD


@pytest.mark.usefixtures("careless")
async def test_no_moment_is_open_while_the_rules_are_replaced(town: Town) -> None:
    await town.protect("none")
    replacing = asyncio.gather(*(town.protect(egress) for egress in ("open", "none") * 3))
    while not replacing.done():
        assert await asyncio.to_thread(reached, town) <= WORLD
    await replacing
    await town.protect("none")
    assert reached(town) == NEIGHBOUR


@pytest.mark.parametrize(
    ("egress", "more", "company_answers", "host_answers"),
    [
        ("open", {}, True, False),
        ("open", {"resolvers": RESOLVERS, "never": [COMPANY]}, True, True),
        ((COMPANY,), {}, True, False),
        ((ELSEWHERE,), {}, False, False),
        ((ELSEWHERE,), {"resolvers": RESOLVERS}, True, True),
        ("none", {"resolvers": RESOLVERS}, False, False),
    ],
)
async def test_names_are_found(
    town: Town,
    egress: Egress,
    more: dict[str, Any],
    company_answers: bool,
    host_answers: bool,
) -> None:
    """One container's name server is the company's, the other's is the host itself."""
    await town.protect(egress, **more)
    assert (town.ask_name("sales") == NAMED) == company_answers
    assert (town.ask_name("worker") == NAMED) == host_answers


async def test_builds_reach_what_apps_do_not(town: Town) -> None:
    await town.protect("none", builds=[town.names.bridge("stock")])
    assert town.reach("stock", (COMPANY_HOST, PORT), (METADATA, PORT)) == [True, False]
    assert town.reach("stock", (GATEWAY, town.port)) == [False]
    assert reached(town) == NEIGHBOUR


async def test_rules_that_nft_does_not_take_say_why_and_change_nothing(town: Town) -> None:
    await town.protect("none")
    async with connect(town.server.url) as docker:
        before = {one.id for one in await docker.containers.list(all=True)}
        with pytest.raises(Unavailable, match="syntax error"):
            await apply(docker, app_image.NAME, "table inet nonsense { chain }")
        assert {one.id for one in await docker.containers.list(all=True)} == before
    assert reached(town) == NEIGHBOUR
