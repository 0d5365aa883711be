"""The table: documents in, look-ups out; silence and nonsense change nothing."""

from pathlib import Path
from typing import Any

import pytest

from gateway.table import Table, Target
from gateway.tablefile import dump, load, write_atomically


def route(revision: int = 1, **more: Any) -> dict[str, Any]:
    document = {
        "app": "a",
        "revision": revision,
        "release": 1,
        "state": "running",
        "targets": [{"instance": "a.web.1-0", "address": "127.0.0.1:20001"}],
        "retiring": [],
        "prefix_mode": "strip",
        "sticky": True,
        "reason": "",
    }
    return document | more


def process(instance: str, started: float) -> dict[str, Any]:
    return {
        "service": "auth",
        "instance": instance,
        "address": f"unix:/run/{instance}",
        "started_at": started,
        "pid": 1,
        "seen_at": started,
    }


def test_route_is_found_by_first_segment() -> None:
    table = Table()
    assert table.set("routes", "a", route())
    assert table.routes[b"a"].targets == (Target("a.web.1-0", "127.0.0.1:20001"),)
    assert not table.set("routes", "a", route())
    assert table.set("routes", "a", route(2))
    table.delete("routes", "a")
    assert b"a" not in table.routes
    table.delete("routes", "never")


@pytest.mark.parametrize(
    "wrong",
    [
        {"prefix_mode": "both"},
        {"targets": [{"instance": "x", "address": "nowhere"}]},
        {"targets": [{"instance": "x", "address": "h:0"}]},
        {"targets": [{"address": "127.0.0.1:1"}]},
        {"revision": "x"},
    ],
)
def test_wrong_document_leaves_the_old_one(wrong: dict[str, Any]) -> None:
    table = Table()
    table.set("routes", "a", route())
    with pytest.raises((ValueError, KeyError, TypeError)):
        table.set("routes", "a", route(2, **wrong))
    assert table.routes[b"a"].revision == 1


def test_expired_processes_are_asked_last_and_never_lost_at_once() -> None:
    table = Table()
    table.set("targets", "auth.1", process("1", 1))
    table.set("targets", "auth.2", process("2", 2))
    assert [one.instance for one in table.addresses("auth")] == ["2", "1"]
    table.delete("targets", "auth.2")
    assert [(one.instance, one.gone) for one in table.addresses("auth")] == [
        ("1", False),
        ("2", True),
    ]
    table.delete("targets", "auth.1")
    assert len(table.addresses("auth")) == 2
    table.set("targets", "auth.2", process("2", 2))
    assert not table.addresses("auth")[0].gone


def test_gone_processes_are_bounded() -> None:
    table = Table()
    for number in range(50):
        table.set("targets", f"auth.{number}", process(str(number), number))
        table.delete("targets", f"auth.{number}")
    assert len(table.addresses("auth")) <= 8


def test_written_and_loaded_it_is_the_same(tmp_path: Path) -> None:
    table = Table()
    table.set("routes", "a", route(retiring=["a.web.0-0"]))
    grants = [{"kind": "group", "name": "data", "role": "viewer"}]
    table.set("access", "a", {"app": "a", "mode": "restricted", "owner": "ann", "grants": grants})
    table.set("people", "ann", {"user": "ann", "role": "admin", "groups": ["g"], "active": True})
    table.set("tokens", "ff", {"id": "1", "user": "ann", "scopes": ["all"], "expires": 5})
    table.set("signing-keys", "k", {"kid": "k", "use": "session", "jwk": {"x": "y"}})
    table.set("targets", "auth.1", process("1", 1))
    path = tmp_path / "deep" / "table.json"
    write_atomically(path, b"".join(dump(table)))
    again = Table()
    load(again, path)
    assert vars(again) == vars(table)
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(path.parent.iterdir()) == [path]


def test_unreadable_files_and_entries_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "table.json"
    load(table := Table(), path)
    path.write_text("{half")
    load(table, path)
    assert not table.routes
    path.write_text('{"routes": {"a": {"revision": "x"}, "b": {"revision": 1, "state": "empty"}}}')
    load(table, path)
    assert list(table.routes) == [b"b"]
