"""`python -m tests.bench.gateway.http2`: what HTTP/2 towards browsers would cost with `h2`.

No network: one request with a browser's headers and its answer of 1 KB, framed by the library
alone, beside the same request read, decided, sent on, answered and logged by the gateway's own
code. Decision 0015 rests on the ratio.
"""

import time
from collections.abc import Callable

from h2.config import H2Configuration
from h2.connection import H2Connection

from gateway.requests import RequestReader
from gateway.responses import ResponseReader
from tests.bench.gateway.people import BROWSER, HOST, ORIGIN

ROUNDS, EACH = 5, 2_000
COOKIE = "moorage_session=" + "s" * 300 + "; moorage_app=" + "t" * 300
HEADERS = [
    (":method", "GET"),
    (":scheme", "https"),
    (":authority", HOST),
    (":path", "/bench/1k"),
    *((name.lower(), value) for name, value in BROWSER[1:]),
    ("referer", f"{ORIGIN}/bench/"),
    ("cookie", COOKIE),
]
ANSWER = [(":status", "200"), ("content-type", "application/octet-stream"), ("date", "now")]
BODY = b"x" * 1024


def main() -> None:
    framing = best(http2())
    reading = best(http1())
    print(f"  h2, framing of a request and its answer   {framing:8.1f} us")
    print(f"  HTTP/1.1, reading of the same two heads    {reading:8.1f} us")
    print(f"  ratio                                      {framing / reading:8.1f}")


def best(once: Callable[[], int]) -> float:
    """The least of several rounds' means, in microseconds."""
    return min(sum(once() for _ in range(EACH)) / EACH for _ in range(ROUNDS)) / 1000


def http2() -> Callable[[], int]:
    """One request over a connection that lasts; nanoseconds of the server's side."""
    client = H2Connection(H2Configuration(client_side=True))
    server = H2Connection(H2Configuration(client_side=False, header_encoding=None))
    client.initiate_connection()
    server.initiate_connection()
    _exchange(client, server)

    def once() -> int:
        stream = client.get_next_available_stream_id()
        client.send_headers(stream, HEADERS, end_stream=True)
        asked = client.data_to_send()
        began = time.process_time_ns()
        server.receive_data(asked)
        server.send_headers(stream, ANSWER)
        server.send_data(stream, BODY, end_stream=True)
        answered = server.data_to_send()
        spent = time.process_time_ns() - began
        client.receive_data(answered)
        client.acknowledge_received_data(len(BODY), stream)
        _exchange(client, server)
        return spent

    return once


def _exchange(client: H2Connection, server: H2Connection) -> None:
    server.receive_data(client.data_to_send())
    client.receive_data(server.data_to_send())


def http1() -> Callable[[], int]:
    """The same two heads, read by the gateway as it reads those that repeat."""
    requests, responses = RequestReader(), ResponseReader()
    lines = [f"{name}: {value}" for name, value in (("Host", HOST), *BROWSER, ("Cookie", COOKIE))]
    head = "\r\n".join(["GET /bench/1k HTTP/1.1", *lines, ""]).encode()
    answer = b"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nDate: now\r\n"

    def once() -> int:
        began = time.process_time_ns()
        requests.read(head)
        responses.read(answer)
        return time.process_time_ns() - began

    return once


if __name__ == "__main__":
    main()
