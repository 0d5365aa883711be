"""What is to be installed, and for which Python."""

import asyncio
import sys
from pathlib import Path

import pytest
import uv

from services.builder.dependencies import Dependencies, read_dependencies
from services.builder.interpreters import Interpreters, PythonRequest, read_request
from services.builder.requirements import read_requirements
from services.builder.uv import Uv, site_settings
from shared.errors import Invalid
from tests.unit.builder.repositories import write

MINOR = f"{sys.version_info.major}.{sys.version_info.minor}"
PROJECT = '[project]\nname = "x"\nversion = "1"\n'
LOCK = """\
version = 1
revision = 3
requires-python = ">=3.11"

[[package]]
name = "six"
version = "1.17.0"
source = { registry = "https://example.org/simple" }

[[package.wheels]]
url = "https://example.org/six-1.17.0-py2.py3-none-any.whl"
hash = "sha256:4721f391ed90541fddacab5acf947aa0d3dc7d27b2e1e8eda2be8970586c3274"

[[package]]
name = "x"
version = "1"
source = { virtual = "." }
dependencies = [{ name = "six" }]
"""


@pytest.fixture
def program() -> Uv:
    return Uv(Path(uv.find_uv_bin()), {"PATH": "/usr/bin:/bin"})


def read(folder: Path, program: Uv) -> Dependencies:
    return asyncio.run(read_dependencies(folder, program))


def refusal(folder: Path, text: str) -> str:
    with pytest.raises(Invalid) as caught:
        read_requirements(write(folder, requirements__txt=text), "requirements.txt")
    return caught.value.detail


class TestRequirements:
    def test_flattened(self, tmp_path: Path) -> None:
        write(
            tmp_path,
            requirements__txt="dash==4.4.1  # the app\n-r more/base.txt\n-c pins.txt\n--pre\n",
            more___base__txt="Plotly_Express>=1 ; python_version > '3'\npandas \\\n  >=2\n",
            pins__txt="numpy<3\n",
        )
        found = read_requirements(tmp_path, "requirements.txt")
        assert found.lines[0] == "dash==4.4.1"
        assert found.lines[-1] == "--pre"
        assert found.constraints == ["numpy<3"]
        assert {"dash", "plotly-express", "pandas"} <= found.names

    def test_utf16_as_windows_writes_it(self, tmp_path: Path) -> None:
        (tmp_path / "requirements.txt").write_text("dash\n", encoding="utf-16")
        assert read_requirements(tmp_path, "requirements.txt").names == {"dash"}

    def test_options_about_building_are_ours(self, tmp_path: Path) -> None:
        write(tmp_path, requirements__txt="--no-binary :all:\ndash\n")
        assert read_requirements(tmp_path, "requirements.txt").lines == ["dash"]

    def test_wheel_of_the_repository(self, tmp_path: Path) -> None:
        write(tmp_path, wheels___x__whl="content", requirements__txt="./wheels/x.whl\n")
        assert read_requirements(tmp_path, "requirements.txt").digests.keys() == {"./wheels/x.whl"}

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("dash\n-e .\n", "requirements.txt line 2 installs '-e .'"),
            ("-r ../../etc/passwd\n", "outside of the repository"),
            ("-r missing.txt\n", "not in the repository"),
            ("-r requirements.txt\n", "includes itself"),
            ("--find-links /root\n", "http or https"),
            ("--index-url=file:///x\n", "http or https"),
            ("x @ file:///etc/x.whl\n", "file of the server"),
            ("x @ /etc/x.whl\n", "no http, https or git"),
            ("../x.whl\n", "no wheel file of this repository"),
            ("/etc/x.whl\n", "no wheel file of this repository"),
            (".\n", "no wheel file of this repository"),
        ],
    )
    def test_refused(self, tmp_path: Path, text: str, said: str) -> None:
        assert said in refusal(tmp_path, text)


class TestFiles:
    def test_none(self, tmp_path: Path, program: Uv) -> None:
        with pytest.raises(Invalid, match=r"add a requirements\.txt"):
            read(tmp_path, program)

    def test_pyproject(self, tmp_path: Path, program: Uv) -> None:
        text = '[project]\nname = "x"\nrequires-python = ">=3.11"\ndependencies = ["dash>=4"]\n'
        found = read(write(tmp_path, pyproject__toml=text), program)
        assert (found.file, found.requirements.lines) == ("pyproject.toml", ["dash>=4"])
        assert found.python == PythonRequest(">=3.11", "pyproject.toml")

    def test_broken_pyproject(self, tmp_path: Path, program: Uv) -> None:
        with pytest.raises(Invalid, match=r"pyproject\.toml cannot be read"):
            read(write(tmp_path, pyproject__toml="[project\n"), program)

    def test_lock(self, tmp_path: Path, program: Uv) -> None:
        project = PROJECT + 'requires-python = ">=3.11"\ndependencies = ["six"]\n'
        found = read(write(tmp_path, pyproject__toml=project, uv__lock=LOCK), program)
        assert found.file == "uv.lock"
        assert found.requirements.lines[0].startswith("six==1.17.0 --hash=sha256:4721")

    def test_broken_lock(self, tmp_path: Path, program: Uv) -> None:
        write(tmp_path, pyproject__toml='[project]\nname = "x"\n', uv__lock="nonsense")
        with pytest.raises(Invalid, match=r"uv\.lock cannot be read"):
            read(tmp_path, program)

    def test_environment_of_the_repository_is_not_run(self, tmp_path: Path, program: Uv) -> None:
        write(tmp_path, pyproject__toml='[project]\nname = "x"\n', uv__lock="version = 1\n")
        python = write(tmp_path, __venv___bin___python=f"#!/bin/sh\ntouch {tmp_path}/ran\n")
        (python / ".venv/bin/python").chmod(0o755)
        with pytest.raises(Invalid):
            read(tmp_path, program)
        assert not (tmp_path / "ran").exists()


class TestPython:
    @pytest.mark.parametrize(
        ("file", "text", "wanted"),
        [
            (".python-version", "# mine\n3.11\n", "3.11"),
            ("runtime.txt", "python-3.11.9\n", "3.11.9"),
        ],
    )
    def test_request(self, tmp_path: Path, file: str, text: str, wanted: str) -> None:
        (tmp_path / file).write_text(text)
        assert read_request(tmp_path, None) == PythonRequest(wanted, file)

    def test_unreadable_request(self, tmp_path: Path) -> None:
        (tmp_path / "runtime.txt").write_text("snake-3\n")
        with pytest.raises(Invalid, match=r"write it as 'python-3\.11'"):
            read_request(tmp_path, None)

    def test_another_patch_will_do(self, program: Uv) -> None:
        request = PythonRequest(f"{MINOR}.99", "runtime.txt")
        assert asyncio.run(Interpreters(program).find(request)).minor == MINOR

    def test_absent(self, program: Uv) -> None:
        with pytest.raises(Invalid, match=r"runtime\.txt asks for Python 3\.2.*write one of"):
            asyncio.run(Interpreters(program).find(PythonRequest("3.2", "runtime.txt")))


def test_only_the_site_settings_are_passed_on() -> None:
    environ = {
        "UV_INDEX_CORP_PASSWORD": "p",
        "PIP_INDEX_URL": "https://mirror.example/simple",
        "https_proxy": "http://proxy",
        "MOORAGE_DATABASE_PASSWORD_FILE": "/keys/x",
        "AWS_SECRET_ACCESS_KEY": "x",
        "UV_PYTHON": "/elsewhere",
    }
    assert site_settings(environ) == {
        "UV_INDEX_CORP_PASSWORD": "p",
        "UV_DEFAULT_INDEX": "https://mirror.example/simple",
        "https_proxy": "http://proxy",
    }
