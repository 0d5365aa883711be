"""Backup while apps answer, and restore on a machine that has nothing."""

import shutil
import subprocess
import sys
import threading

import httpx
import pytest

from deploy.embedded.layout import CHECKOUT
from tests.harness.apps import flask_app
from tests.harness.platform import Platform, repository, until


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A platform with an app, and a backup made under load."""
    platform = Platform()
    folder = tmp_path_factory.mktemp("backup")
    try:
        platform.up()
        source = repository(folder / "src", flask_app("kept"))
        assert platform.push(source, "kept").returncode == 0
        with platform.client() as client:
            client.patch("/-/api/v1/apps/kept/secrets", json={"API_KEY": "kept-secret"})
            until(lambda: client.get("/kept/").json()["secret"] == "kept-secret")
        answers = _answers_during(platform, lambda: _backup(platform, folder / "moorage.backup"))
        yield platform, folder / "moorage.backup", answers
    finally:
        platform.remove()


def _backup(platform, file):
    done = platform.moorage("backup", str(file))
    assert done.returncode == 0, done.stdout + done.stderr


def _answers_during(platform, work):
    """The statuses that somebody who keeps asking the app gets while `work` goes on."""
    statuses, over = [], threading.Event()

    def ask():
        with platform.client() as client:
            while not over.is_set():
                statuses.append(client.get("/kept/").status_code)

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        work()
    finally:
        over.set()
        asking.join()
    return statuses


def test_apps_answer_while_a_backup_is_made(saved):
    _, file, answers = saved
    assert set(answers) == {200}
    assert file.stat().st_mode & 0o077 == 0


def test_after_a_backup_everything_runs_again(saved, tmp_path):
    platform, _, _ = saved
    source = repository(tmp_path / "src", flask_app("after"))
    assert platform.push(source, "after").returncode == 0


def test_a_running_platform_is_not_overwritten(saved):
    platform, file, _ = saved
    done = platform.moorage("restore", str(file))
    assert done.returncode == 1
    assert "make down" in done.stderr


def test_what_is_no_backup_is_refused(saved, tmp_path):
    platform, _, _ = saved
    junk = tmp_path / "junk"
    junk.write_text("no archive")
    done = subprocess.run(
        [sys.executable, "-m", "deploy.embedded", "restore", str(junk)],
        cwd=CHECKOUT,
        env={**platform.environment, "MOORAGE_HOME": str(tmp_path / "empty")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "no backup of this platform" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_restored_platform_has_it_all(saved, tmp_path):
    original, file, _ = saved
    original.down()
    other = Platform()
    try:
        done = other.moorage_offline("restore", str(file))
        assert done.returncode == 0, done.stdout + done.stderr
        other.up()

        def answered():
            try:
                with other.client(original.token) as client:
                    answer = client.get("/kept/")
            except httpx.HTTPError:
                return None
            return answer.json() if answer.status_code == 200 else None

        found = until(answered, 60)
        assert (found["version"], found["secret"]) == ("kept", "kept-secret")
        source = repository(tmp_path / "src", flask_app("restored"))
        pushed = other.push(source, "fresh", token=original.token)
        assert pushed.returncode == 0, pushed.stdout
    finally:
        other.remove()
        shutil.rmtree(other.folder, ignore_errors=True)
