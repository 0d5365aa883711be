"""Listening sockets that were found are used again."""

import socket

from gateway.sockets import enough


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_those_that_are_found_come_first_and_each_once() -> None:
    port = free_port()
    made = enough("127.0.0.1", port, 2, [])
    copies = [one.dup() for one in made]
    again = enough("127.0.0.1", port, 3, [*made, *copies])
    assert len(again) == 3
    assert len({one.fileno() for one in again} & {one.fileno() for one in (*made, *copies)}) == 2
    for one in {*made, *copies, *again}:
        one.close()


def test_none_is_left_out_that_has_the_address_and_none_taken_that_has_not() -> None:
    port, other = free_port(), free_port()
    three, one = enough("127.0.0.1", port, 3, []), enough("127.0.0.1", other, 1, [])
    assert enough("127.0.0.1", port, 1, [*one, *three]) == three
    for made in (*three, *one):
        made.close()
