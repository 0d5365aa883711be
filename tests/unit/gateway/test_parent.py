"""The parent reads a few settings itself; they must mean what the workers take them for."""

import subprocess
import sys
from pathlib import Path

import pytest

from gateway.parent import Cannot, Wishes
from gateway.settings import GatewaySettings

NEEDED = {"MOORAGE_HOME": "/h", "MOORAGE_INSTANCE": "gateway-1"}


def test_defaults_are_those_of_the_workers() -> None:
    wishes = Wishes(NEEDED)
    settings = GatewaySettings(
        home=Path("/h"), instance="gateway-1", nats_url="", nats_seed_file=Path("/none")
    )
    assert wishes.bind == settings.bind
    assert wishes.ports == {"http": settings.port, "https": settings.tls_port}
    assert wishes.stop_seconds == settings.stop_seconds
    assert wishes.workers == settings.gateway_workers


def test_no_number_of_workers_is_one_for_each_core() -> None:
    assert Wishes(NEEDED | {"MOORAGE_GATEWAY_WORKERS": "0"}).workers >= 1
    assert Wishes(NEEDED | {"MOORAGE_GATEWAY_WORKERS": "3"}).workers == 3


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"MOORAGE_HOME": ""}, "MOORAGE_HOME is not set"),
        ({"MOORAGE_PORT": "http"}, "MOORAGE_PORT is 'http', which is no number"),
    ],
)
def test_what_is_wrong_is_said(settings: dict[str, str], said: str) -> None:
    with pytest.raises(Cannot, match=said):
        Wishes(NEEDED | settings)


def test_the_parent_does_without_all_that_is_large() -> None:
    """It lives as long as the platform: it may import nothing that costs megabytes."""
    code = "import gateway.parent, sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert not loaded & {"asyncio", "uvloop", "pydantic", "nats", "orjson", "ssl", "shared"}
