"""What the engine tells of containers, read."""

from services.scheduler.engines.containerlogs import LONGEST_LINE, Lines, _after, _parted
from services.scheduler.engines.docker import _ended, sockets_in

TCP = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid
   0: 00000000:4E21 00000000:0000 0A 00000000:00000000 00:00000000 00000000 200000
   1: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000 200000
   2: 0B00007F:A1B2 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0
   3: 020011AC:4E21 010011AC:9C40 01 00000000:00000000 00:00000000 00000000 200000
  sl  local_address                         remote_address                        st
   0: 00000000000000000000000001000000:0050 00000000000000000000000000000000:0000 0A 0
"""


def test_listening_sockets_are_read() -> None:
    """Not those that are connected, and not the engine's own name server."""
    assert sockets_in(TCP) == [("0.0.0.0", 20001), ("127.0.0.1", 8080), ("::1", 80)]


def test_lines_are_joined_and_those_without_end_cut() -> None:
    lines = Lines()
    assert lines.feed("one\ntw") == ["one"]
    assert lines.feed("o\r\n\n") == ["two", ""]
    assert lines.feed("x" * (LONGEST_LINE + 1)) == ["x" * (LONGEST_LINE + 1)]
    assert lines.feed("rest") == []
    assert lines.end() == ["rest"]
    assert lines.end() == []


def test_the_moment_after_an_entry() -> None:
    assert _after("2026-11-23T10:35:56.900000001Z") == "1795430156.900000002"
    assert _after("2026-11-23T10:35:56.999999999Z") == "1795430157.000000000"
    assert _after("2026-11-23T10:35:56Z") == "1795430156.000000001"


def test_an_entry_is_parted_from_its_time() -> None:
    assert _parted("2026-11-23T10:35:56.9Z hello there\n", "0") == (
        "1795430156.900000001",
        "hello there\n",
    )
    assert _parted("no time at all", "7") == ("7", "no time at all")


def test_how_it_ended_is_said_in_words() -> None:
    state = {"ExitCode": 3, "OOMKilled": False, "Error": ""}
    assert _ended(state).reason == "it ended with exit status 3"
    assert _ended({**state, "ExitCode": 143}).reason == "it was ended by signal 15"
    killed = _ended({**state, "ExitCode": 137, "OOMKilled": True})
    assert killed.reason == "it ran out of memory and was killed"
    assert "no such file" in _ended({**state, "Error": "exec: no such file"}).reason
