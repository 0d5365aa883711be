"""Every case of the table through the gateway, and through nginx to compare."""

from collections.abc import Awaitable, Callable

import pytest

from tests.integration.gateway.conformance.case import Case
from tests.integration.gateway.conformance.conversation import App, speak
from tests.integration.gateway.conformance.nginx import Nginx
from tests.integration.gateway.conformance.table import CASES

Opened = Callable[[Case], Awaitable[App]]


async def converse(case: Case, port: int, app: App, says: str) -> tuple[str, bytes]:
    """What the client saw, and all bytes that it got."""
    told, got = await speak(port, case.client, case.methods, says, app.marks)
    if case.then:
        again, _ = await speak(port, case.then, ("GET",), "200 closed", app.marks)
        assert again == "200 closed"
    return told, got


def broken_words(case: Case, app: App, got: bytes) -> list[str]:
    """What the case says of the bytes on both sides and is not so."""
    words = [f"the app lacks {text!r}" for text in case.carries if text not in app.received]
    words += [f"the app got {text!r}" for text in case.lacks if text in app.received]
    words += [f"the client lacks {text!r}" for text in case.brings if text not in got]
    words += [f"the client got {text!r}" for text in case.spares if text in got]
    if case.connections not in (None, len(app.peers)):
        words.append(f"the app saw {len(app.peers)} connections")
    return words


@pytest.mark.parametrize("name", CASES, ids=str)
async def test_gateway(name: str, app_for: Opened, leads_to: Callable[[App], int]) -> None:
    case = CASES[name]
    app = await app_for(case)
    says, got = await converse(case, leads_to(app), app, case.says)
    assert (says, app.seen) == (case.says, list(case.app)), (got, app.received)
    assert not app.failed
    assert not broken_words(case, app, got), (got, app.received)


@pytest.mark.parametrize("name", CASES, ids=str)
async def test_nginx(name: str, app_for: Opened, nginx: Nginx) -> None:
    """nginx does the same, or what the table says that it does."""
    case = CASES[name]
    other = case.nginx
    says = case.says if other is None or other.says is None else other.says
    seen = case.app if other is None or other.app is None else other.app
    app = await app_for(case)
    told, got = await converse(case, nginx.port, app, says)
    assert (told, app.seen) == (says, list(seen)), (got, app.received)
    words = broken_words(case, app, got)
    assert bool(words) != (other is None or other.holds), words
