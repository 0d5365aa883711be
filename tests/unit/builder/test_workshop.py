"""The Docker workshop's own decisions, without an engine."""

import tarfile
from pathlib import Path

import pytest

from services.builder.interpreters import Interpreter, PythonRequest
from services.builder.workshops.docker import (
    DockerEnvironment,
    _halves,
    _Heard,
    _of_site,
    _satisfies,
)
from shared.docker.archives import context, inputs

PYTHON = Interpreter("/usr/bin/python3", "3.11.2")


@pytest.mark.parametrize(
    ("text", "fits"),
    [("3.11", True), ("3.11.9", True), ("3.12", False), (">=3.10,<3.13", True), (">=3.12", False)],
)
def test_which_python_will_do(text: str, fits: bool) -> None:
    assert _satisfies(PYTHON, PythonRequest(text, "runtime.txt")) is fits


def test_an_environment_knows_its_distributions_by_any_spelling() -> None:
    found = {"Flask_Login": ["flask_login"], "numpy": ["numpy"], "six": []}
    environment = DockerEnvironment("d", PYTHON, "i", found, warmed=True)
    assert environment.has("flask-login")
    assert not environment.has("flask")
    assert environment.modules_of(["FLASK.LOGIN", "six", "nothing"]) == {"flask_login"}


def test_the_halves_keep_packages_whole() -> None:
    halves = _halves(["a", "a.b", "c", "d.e"])
    assert halves == ["a a.b d.e", "c"]


def test_a_sites_settings_go_along_with_what_they_name(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("x")
    (tmp_path / "wheels").mkdir()
    site = {
        "SSL_CERT_FILE": str(tmp_path / "ca.pem"),
        "UV_FIND_LINKS": f"{tmp_path}/wheels,https://example.com/links",
        "UV_DEFAULT_INDEX": "https://user:secret@example.com/simple",
    }
    environment, files, mounts = _of_site({"PATH": "/host/bin", **site}, site)
    assert environment["SSL_CERT_FILE"] == "/build/site/SSL_CERT_FILE-0"
    assert files == {"/build/site/SSL_CERT_FILE-0": tmp_path / "ca.pem"}
    assert environment["UV_FIND_LINKS"] == "/site/UV_FIND_LINKS-0,https://example.com/links"
    assert [(mount["Target"], mount["ReadOnly"]) for mount in mounts] == [
        ("/site/UV_FIND_LINKS-0", True)
    ]
    assert environment["UV_DEFAULT_INDEX"] == site["UV_DEFAULT_INDEX"]
    assert "/host/bin" not in environment["PATH"]


def test_distributions_are_heard_among_the_lines() -> None:
    lines: list[str] = []
    heard = _Heard(lines.append)
    for line in ("Installed 2", 'moorage-distribution: ["Flask", "flask"]', "done"):
        heard(line)
    assert heard.distributions == {"Flask": ["flask"]}
    assert lines == ["Installed 2", "done"]


def test_folders_of_inputs_belong_to_the_builds_user(tmp_path: Path) -> None:
    (tmp_path / "wheel").write_bytes(b"w")
    files: dict[str, bytes | Path] = {"/build/inputs/a": b"a", "/build/code/w": tmp_path / "wheel"}
    with inputs(["/env"], files, 61001) as made, tarfile.open(fileobj=made) as tar:
        found = {entry.name: entry for entry in tar}
    folders = {name for name, entry in found.items() if entry.isdir()}
    assert folders == {"env", "build", "build/inputs", "build/code"}
    assert {found[name].uid for name in folders} == {61001}
    assert found["build/code/w"].size == 1


def test_the_same_code_is_the_same_archive(tmp_path: Path) -> None:
    made = []
    for name in ("one", "other"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "app.py").write_text("x")
        with context({"Dockerfile": b"FROM x\n"}, folder, "app") as file:
            made.append(file.read())
    assert made[0] == made[1]
