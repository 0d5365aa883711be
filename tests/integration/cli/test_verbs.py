"""Each verb as a process: what it sends, what it prints, how it ends."""

import json
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.integration.cli.conftest import Run
from tests.integration.cli.stand import Stand, page, problem

SALES = "/apps/sales"
RULE = {
    "app": "sales",
    "mode": "restricted",
    "owner": "ada",
    "grants": [{"kind": "user", "name": "bob", "role": "viewer"}],
}
TRAFFIC = {
    "app": "sales",
    "limits": {
        "concurrent": {"value": 50, "default": False, "ceiling": 100},
        "body_bytes": {"value": 104_857_600, "default": False, "ceiling": None},
        "answer_seconds": {"value": 900.0, "default": True, "ceiling": None},
        "rate": {"value": None, "default": True, "ceiling": 2.5},
    },
    "isolated": {"value": True, "default": False},
}
READS: list[tuple[tuple[str, ...], str, Any]] = [
    (("whoami",), "/whoami", {"user": "ada"}),
    (("tokens",), "/tokens", [{"id": "1", "name": "ci", "scopes": ["read"]}]),
    (("apps",), "/apps", [{"name": "sales", "state": "running"}]),
    (("info",), SALES, {"name": "sales", "state": "running"}),
    (("ps",), SALES + "/instances", [{"instance": "sales.web.1-1", "memory_bytes": 5_000_000}]),
    (("scale",), SALES + "/scale", {"web": 2}),
    (("config",), SALES + "/config", {"GREETING": "hi"}),
    (("config", "list"), SALES + "/config", {"GREETING": "hi"}),
    (("config", "get", "GREETING"), SALES + "/config", {"GREETING": "hi"}),
    (("secrets",), SALES + "/secrets", ["KEY"]),
    (("access",), SALES + "/access", RULE),
    (("traffic",), SALES + "/traffic", TRAFFIC),
    (("releases",), SALES + "/releases", [{"release": 2, "commit": "c" * 40, "state": "live"}]),
    (("status",), "/status", [{"service": "portal", "state": "running"}]),
    (("events",), "/events", [{"id": 1, "type": "app.pushed", "data": {"size": 1}}]),
    (("dead-letters",), "/dead-letters", [{"id": 7, "reason": "broken"}]),
    (("users",), "/users", [{"user": "ada", "active": True}]),
]
WRITES: list[tuple[tuple[str, ...], str, str, Any]] = [
    (("restart",), "POST", SALES + "/restart", None),
    (("scale", "web=3", "worker=0"), "POST", SALES + "/scale", {"web": 3, "worker": 0}),
    (("config", "set", "A=1", "B=x=y"), "PATCH", SALES + "/config", {"A": "1", "B": "x=y"}),
    (("config", "unset", "A"), "PATCH", SALES + "/config", {"A": None}),
    (("secrets", "set", "A=-"), "PATCH", SALES + "/secrets", {"A": "typed"}),
    (("secrets", "unset", "A"), "PATCH", SALES + "/secrets", {"A": None}),
    (("destroy", "--confirm", "sales"), "DELETE", SALES, None),
    (("tokens", "revoke", "1"), "DELETE", "/tokens/1", None),
    (("dead-letters", "replay", "7"), "POST", "/dead-letters/7/replay", None),
    (("dead-letters", "drop", "7"), "DELETE", "/dead-letters/7", None),
    (("users", "disable", "bob"), "PATCH", "/users/bob", {"active": False}),
    (("users", "password", "bob"), "PATCH", "/users/bob", {"password": "typed"}),
]
WITHOUT_APP = ("whoami", "tokens", "apps", "status", "events", "dead-letters", "users")


def with_app(verb: tuple[str, ...]) -> tuple[str, ...]:
    return verb if verb[0] in WITHOUT_APP else ("-a", "sales", *verb)


@pytest.mark.parametrize(("verb", "place", "answer"), READS)
def test_a_verb_that_reads(
    moorage: Run, stand: Stand, verb: tuple[str, ...], place: str, answer: Any
) -> None:
    stand.answers["GET", place] = answer
    plain, machine = moorage(*with_app(verb)), moorage(*with_app(verb), "--json")
    assert (plain.returncode, machine.returncode) == (0, 0), plain.stderr + machine.stderr
    assert plain.stdout.strip()
    assert json.loads(machine.stdout)
    assert plain.stderr == machine.stderr == ""


@pytest.mark.parametrize(("verb", "method", "place", "body"), WRITES)
def test_a_verb_that_changes(
    moorage: Run, stand: Stand, verb: tuple[str, ...], method: str, place: str, body: Any
) -> None:
    stand.answers[method, place] = None
    done = moorage(*with_app(verb), "--json", typed="typed\n")
    assert done.returncode == 0, done.stderr
    assert stand.told(method, place) == [body]
    assert json.loads(done.stdout)
    assert "typed" not in done.stdout


def test_access_keeps_the_other_grants(moorage: Run, stand: Stand) -> None:
    stand.answers["GET", SALES + "/access"] = stand.answers["PUT", SALES + "/access"] = RULE
    assert (
        moorage("access", "grant", "eve", "--role", "collaborator", "-a", "sales").returncode == 0
    )
    assert moorage("access", "set", "public", "-a", "sales").returncode == 0
    assert moorage("access", "revoke", "bob", "-a", "sales").returncode == 0
    granted, opened, revoked = stand.told("PUT", SALES + "/access")
    assert [grant["name"] for grant in granted["grants"]] == ["bob", "eve"]
    assert opened == {"mode": "public", "grants": RULE["grants"]}
    assert revoked["grants"] == []
    assert moorage("access", "revoke", "eve", "--group", "-a", "sales").returncode == 1


def test_rollback_names_both_releases(moorage: Run, stand: Stand) -> None:
    stand.answers["POST", SALES + "/rollback"] = {"release": 4, "rolled_back_to": 2}
    done = moorage("rollback", "v2", "-a", "sales")
    assert done.stdout == "sales goes back to v2 as v4.\n"
    assert moorage("rollback", "-a", "sales").returncode == 0
    assert stand.told("POST", SALES + "/rollback") == [{"release": 2}, {"release": None}]


def test_a_token_is_made_and_a_user_added(moorage: Run, stand: Stand) -> None:
    stand.answers["POST", "/tokens"] = {"token": "mrg_new", "id": "2"}
    done = moorage("tokens", "create", "ci", "--scope", "write", "--days", "30")
    assert done.stdout == "mrg_new\n"
    assert stand.told("POST", "/tokens") == [{"name": "ci", "scopes": ["write"], "days": 30}]
    stand.answers["POST", "/users"] = {"user": "bob"}
    assert moorage("users", "add", "bob", "--role", "developer", typed="pw\n").returncode == 0
    assert stand.told("POST", "/users")[0]["password"] == "pw"


def test_run_ends_as_its_command(moorage: Run, stand: Stand) -> None:
    stand.answers["POST", SALES + "/run"] = [b"one\n", b"two\nexit-sta", b"tus: 3\n"]
    done = moorage("run", "-a", "sales", "--", "python", "-c", "x", "--json")
    assert (done.returncode, done.stdout) == (3, "one\ntwo\n")
    assert stand.told("POST", SALES + "/run") == [{"command": ["python", "-c", "x", "--json"]}]
    stand.answers["POST", SALES + "/run"] = [b"one\n"]
    done = moorage("run", "-a", "sales", "ls")
    assert (done.returncode, done.stdout) == (1, "one\n")


def test_logs_are_lines(moorage: Run, stand: Stand) -> None:
    stand.answers["GET", SALES + "/logs"] = [b"web.1-1 | caf\xc3", b"\xa9\nweb.1-1 | two\n"]
    assert moorage("logs", "-a", "sales").stdout == "web.1-1 | café\nweb.1-1 | two\n"
    lines = moorage("logs", "-a", "sales", "--json").stdout.splitlines()
    assert [json.loads(line)["line"] for line in lines] == ["web.1-1 | café", "web.1-1 | two"]


def test_login_asks_and_logout_forgets(
    moorage: Run, stand: Stand, environment: dict[str, str]
) -> None:
    stand.answers["GET", "/whoami"] = {"user": "ada", "role": "admin"}
    url, nothing = environment["MOORAGE_URL"], {"MOORAGE_URL": "", "MOORAGE_TOKEN": ""}
    wrong = moorage("login", url, "-u", "ada", typed="guess\n", **nothing)
    assert wrong.returncode == 1
    assert "wrong user name or password" in wrong.stderr
    done = moorage("login", url, typed="ada\ncorrect horse\n", **nothing)
    assert done.returncode == 0, done.stderr
    assert "correct horse" not in done.stdout + done.stderr
    assert moorage("whoami", **nothing).returncode == 0
    assert moorage("logout", **nothing).returncode == 0
    assert "run `moorage login" in moorage("whoami", **nothing).stderr


@pytest.mark.parametrize(
    ("verb", "status", "says"),
    [
        (("nonsense",), 2, "No such command"),
        (("scale", "web", "-a", "sales"), 2, "TYPE=COUNT"),
        (("config", "set", "s3cret", "-a", "sales"), 2, "NAME=VALUE"),
        (("rollback", "last", "-a", "sales"), 2, "such as v3"),
        (("ps", "-a", "No_Label"), 1, "cannot be the name"),
        (("ps",), 1, "--app NAME"),
        (("ps", "-a", "gone"), 1, "nothing at /apps/gone"),
        (("destroy", "-a", "sales"), 1, "--confirm sales"),
        (("destroy", "-a", "sales", "--confirm", "other"), 1, "nothing was destroyed"),
        (("login", "ftp://x"), 1, "not the address"),
    ],
)
def test_an_error_is_one_line(moorage: Run, verb: tuple[str, ...], status: int, says: str) -> None:
    done = moorage(*verb)
    assert (done.returncode, done.stdout) == (status, "")
    assert says in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert "s3cret" not in done.stderr


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (page(200), "not what a Moorage platform says"),
        (page(502), "try again in a moment"),
        (problem(409, "The name is taken."), "moorage: The name is taken\n"),
        (problem(401, "The token has expired."), "run `moorage login`"),
    ],
)
def test_a_strange_answer_is_one_line(moorage: Run, stand: Stand, answer: Any, says: str) -> None:
    stand.refusals["/whoami"] = answer
    done = moorage("whoami")
    assert done.returncode == 1
    assert says in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_nobody_there_is_one_line(moorage: Run) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: nobody answers, nobody takes it
        done = moorage("whoami", MOORAGE_URL=f"http://127.0.0.1:{taken.getsockname()[1]}")
    assert done.returncode == 1
    assert "cannot reach" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_ctrl_c_is_one_line(environment: dict[str, str], folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        environment["MOORAGE_URL"] = f"http://127.0.0.1:{silent.getsockname()[1]}"
        child = subprocess.Popen(
            [sys.executable, "-P", "-m", "moorage", "whoami"],
            cwd=folder,
            env=environment,
            stdout=-1,
            stderr=-1,
            text=True,
        )
        connection, _ = silent.accept()
        connection.recv(1)
        child.send_signal(signal.SIGINT)
        _, said = child.communicate(timeout=20)
        connection.close()
    assert child.returncode == 1
    assert said.strip() == "moorage: stopped"


@pytest.mark.parametrize(
    ("options", "sent"),
    [
        (("--concurrent", "50"), {"limits": {"concurrent": 50}}),
        (
            ("--body-size", "100MB", "--answer-timeout", "2m", "--idle-timeout", "1h"),
            {"limits": {"body_bytes": 10**8, "answer_seconds": 120, "idle_seconds": 3600}},
        ),
        (("--rate", "2.5", "--burst", "default"), {"limits": {"rate": 2.5, "burst": None}}),
        (("--isolated",), {"isolated": True}),
        (("--shared", "--rate", "1"), {"limits": {"rate": 1}, "isolated": False}),
        (
            ("--reset", "--burst", "3"),
            {
                "limits": dict.fromkeys(
                    ("concurrent", "body_bytes", "answer_seconds", "idle_seconds", "rate")
                )
                | {"burst": 3}
            },
        ),
    ],
)
def test_traffic_sends_what_was_asked_for(
    moorage: Run, stand: Stand, options: tuple[str, ...], sent: Any
) -> None:
    stand.answers["PATCH", SALES + "/traffic"] = TRAFFIC
    done = moorage("traffic", "sales", *options, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == TRAFFIC
    assert stand.told("PATCH", SALES + "/traffic") == [sent]


def test_traffic_reads_well(moorage: Run, stand: Stand) -> None:
    stand.answers["GET", SALES + "/traffic"] = TRAFFIC
    assert moorage("traffic", "-a", "sales").stdout.splitlines() == [
        "LIMIT           VALUE      SET BY        AT MOST",
        "concurrent      50         the app       100",
        "body-size       100 MiB    the app       -",
        "answer-timeout  900 s      the platform  -",
        "rate            unlimited  the platform  2.5",
        "sales is served on a host of its own only.",
    ]


@pytest.mark.parametrize("options", [("--rate", "fast"), ("--body-size", "5h"), ("--burst", "-1")])
def test_traffic_refuses_what_is_no_amount(
    moorage: Run, stand: Stand, options: tuple[str, ...]
) -> None:
    done = moorage("traffic", "sales", *options)
    assert done.returncode == 2
    assert options[0] in done.stderr
    assert stand.calls == []
