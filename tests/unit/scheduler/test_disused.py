"""What is removed of images and environments, and what stays."""

import json
import os
import time
from pathlib import Path

from services.scheduler.engines.disused import remove
from services.scheduler.engines.docker import age_of

MANIFEST = {
    "kind": "flask", "source": "s", "process_types": {"web": "run"}, "health": {"path": "/"},
    "prefix_mode": "keep", "prefix_env": {}, "sticky": False, "python": "3.11",
}  # fmt: skip
DAY = 86_400.0


def image(home: Path, name: str, environment: str, age: float = 2 * DAY) -> Path:
    folder = home / "images" / name
    (folder / "app").mkdir(parents=True)
    (folder / "app" / "app.py").write_text("x")
    (folder / "manifest.json").write_text(json.dumps({**MANIFEST, "environment": environment}))
    os.chmod(folder / "app", 0o555)
    _age(folder / "manifest.json", age)
    return folder


def environment(home: Path, name: str, age: float = 2 * DAY) -> Path:
    folder = home / "environments" / name
    folder.mkdir(parents=True)
    (folder / "ready").write_text(name)
    _age(folder / "ready", age)
    return folder


def _age(path: Path, seconds: float) -> None:
    then = time.time() - seconds
    os.utime(path, (then, then))


def left(home: Path) -> set[str]:
    return {f"{path.parent.name}/{path.name}" for path in home.glob("*/*")}


def test_what_nothing_needs_goes_after_a_while(tmp_path: Path) -> None:
    image(tmp_path, "needed", "shared")
    image(tmp_path, "old", "shared")
    image(tmp_path, "older", "alone")
    image(tmp_path, "young", "with-the-young", age=10.0)
    for name in ("shared", "alone", "with-the-young"):
        environment(tmp_path, name)
    environment(tmp_path, "just-made", age=10.0)
    (tmp_path / "environments" / ".a-build").mkdir()
    assert remove(tmp_path, {"sha256:needed"}, DAY) == 3
    assert left(tmp_path) == {
        "images/needed", "images/young", "environments/shared", "environments/with-the-young",
        "environments/just-made", "environments/.a-build",
    }  # fmt: skip
    assert remove(tmp_path, {"sha256:needed"}, DAY) == 0


def test_there_may_be_nothing(tmp_path: Path) -> None:
    assert remove(tmp_path, set(), DAY) == 0


def test_ages_are_read_from_the_engines_times() -> None:
    now = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(time.time() - 60))
    assert 55 < age_of(f"{now}.123456789Z") < 70
    assert age_of("0001-01-01T00:00:00Z") > 1e9
