"""Names, settings and what a container is handed."""

from ipaddress import ip_network
from pathlib import Path

import pytest
from pydantic import ValidationError

from shared.docker.containment import locked_in
from shared.docker.handover import given, receiving
from shared.docker.names import BRIDGE_LENGTH, BUILDS, Names
from shared.docker.settings import DockerSettings
from shared.errors import Invalid


def test_a_platform_is_told_by_its_data_folder() -> None:
    one, other = Names.of(Path("/srv/one")), Names.of(Path("/srv/other"))
    assert one.mark != other.mark
    assert one.labels != other.labels
    assert one.network("sales") != other.network("sales")


def test_bridges_have_names_that_the_kernel_takes() -> None:
    names = Names("a1b2c3")
    bridges = [names.bridge(name) for name in ("sales", "a" * 60, BUILDS)]
    assert len({*bridges}) == 3
    assert all(len(bridge) <= BRIDGE_LENGTH for bridge in bridges)
    assert all(bridge.startswith(names.bridges) for bridge in bridges)


def test_a_container_has_nothing_but_its_limits() -> None:
    config = locked_in(
        network="n", memory_bytes=1 << 20, cpu=0.5, processes=7, open_files=9, read_only=True
    )
    assert config["CapDrop"] == ["ALL"]
    assert config["ReadonlyRootfs"] is True
    assert (config["Memory"], config["MemorySwap"]) == (1 << 20, 1 << 20)
    assert config["NanoCpus"] == 500_000_000
    assert config["PidsLimit"] == 7
    assert config["Ulimits"] == [{"Name": "nofile", "Soft": 9, "Hard": 9}]
    open_one = locked_in(network="n", memory_bytes=None, cpu=None, processes=None, open_files=None)
    assert not {"Memory", "NanoCpus", "Ulimits"} & open_one.keys()


def test_the_environment_is_handed_over_and_not_configured() -> None:
    size, _, text = given({"PASSWORD": "it's $(secret)"}).partition(b"\n")
    assert int(size) == len(text)
    assert text.endswith(b"MOORAGE_COMPLETE=1")
    assert receiving(["python", "app.py"])["Cmd"][-2:] == ["python", "app.py"]  # type: ignore[index]
    with pytest.raises(Invalid, match="X-Y"):
        given({"X-Y": "1"})


@pytest.mark.parametrize(
    ("text", "egress"),
    [
        ("open", "open"),
        ("none", "none"),
        ("10.0.0.0/8, 192.0.2.7", (ip_network("10.0.0.0/8"), ip_network("192.0.2.7/32"))),
        ("fd00::/8", (ip_network("fd00::/8"),)),
    ],
)
def test_egress_is_read(text: str, egress: object) -> None:
    assert DockerSettings(app_egress=text).egress == egress


@pytest.mark.parametrize("text", ["somewhere", "10.0.0.1/8", "10.0.0.0/33"])
def test_what_is_no_network_is_refused(text: str) -> None:
    with pytest.raises(ValidationError):
        DockerSettings(app_egress=text)
    with pytest.raises(ValidationError):
        DockerSettings(app_never=text)
