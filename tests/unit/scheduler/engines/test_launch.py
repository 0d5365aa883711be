"""What of a launch is visible to others."""

import os
from pathlib import Path

import pytest

from services.scheduler.engines.launch import Launch
from services.scheduler.engines.protocol import Limits
from shared.errors import Invalid
from shared.sandbox import Sandbox, View


def launch(**environment: str) -> Launch:
    return Launch(
        sandbox=Sandbox("bubblewrap", 200_001),
        view=View(outlives=True),
        command=["/bin/sh", "-c", "exec app"],
        environment=environment,
        groups=[],
        limits=Limits(),
        mark="moorage-x/a.web.1-1",
    )


def test_the_environment_is_neither_argument_nor_outer_environment(tmp_path: Path) -> None:
    with launch(PASSWORD="a b'c").detached(tmp_path, "a.web.1-1", "boot") as opened:
        assert "a b" not in " ".join(opened.command)
        assert set(opened.environment) == {"PATH", "MOORAGE_MARK"}
        assert opened.environment["PATH"] == os.environ["PATH"]
        written = os.read(opened.settings, 1000).decode()
    assert written.startswith("""export PASSWORD='a b'"'"'c' MOORAGE_MARK=""")


def test_the_apps_mark_cannot_be_its_own() -> None:
    assert b"MOORAGE_MARK=moorage-x/a.web.1-1" in launch(MOORAGE_MARK="b")._settings()


@pytest.mark.parametrize("name", ["A B", "1A", "", "A;reboot", "A\nB"])
def test_a_name_that_is_no_variable(name: str) -> None:
    with pytest.raises(Invalid):
        launch(**{name: "1"})._settings()


def test_without_a_sandbox_there_is_no_filter() -> None:
    plain = Launch(Sandbox("plain", None), View(), ["app"], {}, [], Limits(), "m")
    with plain.one_off() as opened:
        assert "--seccomp" not in opened.command
        assert opened.command[-1] == "app"
