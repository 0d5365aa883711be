"""A closed load by wrk: 64 kept connections, each sending as soon as it has its answer."""

import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tests.bench.gateway import cores, tools

CONNECTIONS = 64
_ERRORS = ("connect", "read", "write", "status", "timeout")


class Measured(NamedTuple):
    """Of one proxy under one load; CPU in microseconds a request, latencies in milliseconds."""

    cpu_us: float
    rps: float
    p50_ms: float
    p99_ms: float


class Requests:
    """Request texts, sent in turn, and how long each answer is at least."""

    def __init__(self, file: Path, texts: Sequence[bytes], answer_bytes: int) -> None:
        self.answer_bytes = answer_bytes
        self._lua = file.with_suffix(".lua")
        self.texts = texts
        written = file.with_suffix(".requests")
        written.write_bytes(b"".join(b"%d\n%b" % (len(text), text) for text in texts))
        self._lua.write_text(_LUA % {"file": json.dumps(str(written))})

    def load(self, port: int, pid: int, seconds: int) -> Measured:
        """Load the proxy on `port`, whose process is `pid`; every answer must be a good one."""
        before = cores.tree_cpu_ns(pid)
        said = self.send(port, seconds, cores.LOAD)
        spent = cores.tree_cpu_ns(pid) - before
        return Measured(
            cpu_us=spent / 1000 / said["requests"],
            rps=rps(said),
            p50_ms=said["p50"] / 1000,
            p99_ms=said["p99"] / 1000,
        )

    def send(
        self, port: int, seconds: int, on: Sequence[int], connections: int = CONNECTIONS
    ) -> dict[str, float]:
        """What wrk, on these cores, said: `requests`, `microseconds` (in all), `p50` and `p99` (of
        latency, in microseconds)."""
        options = f"-t1 -c{connections} -d{seconds}s --timeout 30s".split()
        done = subprocess.run(
            [tools.path("wrk"), *options, "-s", str(self._lua), f"http://127.0.0.1:{port}/"],
            capture_output=True,
            text=True,
            preexec_fn=lambda: os.sched_setaffinity(0, on),
        )
        assert done.returncode == 0, done.stdout + done.stderr
        said = json.loads(done.stdout.rpartition("\n@")[2])
        self._check(said)
        return said

    def _check(self, said: dict[str, float]) -> None:
        assert said["requests"] > 0, "no request was answered"
        failed = {kind: said[kind] for kind in _ERRORS if said[kind]}
        assert not failed, f"errors, as wrk counts them: {failed} of {said['requests']}"
        size = said["bytes"] / said["requests"]
        assert size >= self.answer_bytes, f"answers have {size:.0f} bytes; is it an error page?"


def rps(said: dict[str, float]) -> float:
    return said["requests"] / said["microseconds"] * 1e6


_LUA = """
local texts = {}
local file = assert(io.open(%(file)s, "rb"))
while true do
  local size = file:read("*n")
  if not size then break end
  file:read(1)
  texts[#texts + 1] = file:read(size)
end
file:close()
local count, turn = #texts, 0
function request()
  turn = turn %% count + 1
  return texts[turn]
end
function done(summary, latency, requests)
  local e = summary.errors
  io.write("\\n@", string.format(
    '{"requests": %%d, "microseconds": %%d, "bytes": %%d, "p50": %%d, "p99": %%d, ' ..
    '"connect": %%d, "read": %%d, "write": %%d, "status": %%d, "timeout": %%d}',
    summary.requests, summary.duration, summary.bytes,
    latency:percentile(50), latency:percentile(99),
    e.connect, e.read, e.write, e.status, e.timeout))
end
"""
