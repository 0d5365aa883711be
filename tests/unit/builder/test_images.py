"""Images are known by their content; syntax is checked by the app's own Python."""

import asyncio
import json
import platform
import sys
from pathlib import Path

import pytest

from services.builder.detect import detect
from services.builder.environments import Environment
from services.builder.images import Images
from services.builder.interpreters import Interpreter
from services.builder.syntax import check_syntax
from services.builder.workshops.protocol import manifest_of
from shared.errors import Invalid
from tests.unit.builder.repositories import write

PYTHON = Interpreter(sys.executable, platform.python_version())
DASH = "from dash import Dash\napp = Dash()\n"


def make(home: Path, name: str, source: str):
    code = write(home / name, app__py=DASH)
    plan = detect(code)
    environment = Environment("e" * 64, home / "environments" / ("e" * 64), PYTHON)
    return Images(home).make(code, manifest_of(plan, source, environment), plan, name)


def test_image(tmp_path: Path) -> None:
    image = make(tmp_path, "one", "a" * 64)
    manifest = json.loads((image.path / "manifest.json").read_text())
    assert image.digest == f"sha256:{image.path.name}"
    assert manifest["kind"] == "dash"
    assert manifest["health"] == {
        "path": "/{app}/_dash-dependencies",
        "expect": {"status": 200, "contains": None, "json": True},
    }
    assert manifest["prefix_env"]["DASH_URL_BASE_PATHNAME"] == "/{app}/"
    assert (manifest["environment"], manifest["source"]) == ("e" * 64, "a" * 64)
    assert (image.path / "app" / "moorage_wsgi.py").exists()
    assert (image.path / "app").stat().st_mode & 0o222 == 0
    assert (image.path / "app" / "app.py").stat().st_mode & 0o222 == 0


def test_same_content_same_image(tmp_path: Path) -> None:
    first = make(tmp_path, "one", "a" * 64)
    again = make(tmp_path, "two", "a" * 64)
    other = make(tmp_path, "three", "b" * 64)
    assert (again.digest, again.existed) == (first.digest, True)
    assert other.digest != first.digest
    assert not list((tmp_path / "images").glob(".*"))


def test_syntax(tmp_path: Path) -> None:
    write(tmp_path, good__py="x: int = 1\n", bad__py="def f(:\n    pass\n", nul__py="a\0b")
    asyncio.run(check_syntax(PYTHON, tmp_path, "good.py"))
    with pytest.raises(Invalid, match=r"bad\.py line 1 \('def f\(:'\) is not valid Python"):
        asyncio.run(check_syntax(PYTHON, tmp_path, "bad.py"))
    with pytest.raises(Invalid, match=r"nul\.py line 1"):
        asyncio.run(check_syntax(PYTHON, tmp_path, "nul.py"))
