"""Every WebSocket case with the gateway between the ends and without it; the same comes of both."""

import pytest

from tests.integration.gateway.conftest import World, free_port
from tests.integration.gateway.websockets.case import Case
from tests.integration.gateway.websockets.peers import (
    Echo,
    Scripted,
    Verdict,
    converse,
    following,
)
from tests.integration.gateway.websockets.table import CASES, EXCEPTIONS


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("name", CASES, ids=str)
async def test_case(name: str, gateway: World, echo: Echo) -> None:
    case = CASES[name]
    if case.server is None:
        direct, through = await both(case, echo, gateway)
    else:
        async with following(case, free_port()) as app:
            direct, through = await both(case, app, gateway)
    assert direct.answer.status == case.status
    assert case.code in (None, direct.code), direct
    expect(name, direct, through)


async def both(case: Case, app: Echo | Scripted, gateway: World) -> tuple[Verdict, Verdict]:
    """The verdict without the gateway, and through it."""
    gateway.route("a", f"127.0.0.1:{app.port}")
    direct = await converse(app.port, case)
    direct = direct._replace(app=await app.told())
    through = await converse(gateway.port, case)
    return direct, through._replace(app=await app.told())


def expect(name: str, direct: Verdict, through: Verdict) -> None:
    """Both are alike, or differ as the table of exceptions says."""
    apart = EXCEPTIONS.get(name)
    if apart is None:
        assert through == direct
        return
    assert through.answer.status == apart.status, apart.why
    if apart.status == direct.answer.status:
        others = {one for one in Verdict._fields if getattr(through, one) != getattr(direct, one)}
        assert others == apart.fields, apart.why


def test_exceptions_are_cases() -> None:
    """None is left over from a case that has another name now."""
    assert EXCEPTIONS.keys() <= CASES.keys()
