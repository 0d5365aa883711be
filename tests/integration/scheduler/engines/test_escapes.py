"""A hostile app, and what it gets: each attempt prints its name and what came of it."""

import json
import os
import platform

from berth import OTHERS_SECRET, Berth

HOSTILE = """
import ctypes, json, os, platform, socket, subprocess, sys
HOME = sys.argv[1]
libc = ctypes.CDLL(None, use_errno=True)
found = {}
def attempt(name, action):
    try:
        found[name] = action() or "done"
    except BaseException as error:
        found[name] = f"refused: {error!r}"
def call(*arguments):
    result = libc.syscall(*arguments)
    if result == -1:
        raise OSError(ctypes.get_errno(), "refused")
    return str(result)
def write(path):
    with open(path, "w") as file: file.write("x")
attempt("keys", lambda: open(HOME + "/keys/secret").read())
attempt("other app", lambda: open(HOME + "/apps/other/data/secret").read())
attempt("home", lambda: ",".join(os.listdir(HOME)))
attempt("root's home", lambda: str(os.listdir("/home") + os.listdir("/var")))
attempt("shadow", lambda: open("/etc/shadow").read())
attempt("write code", lambda: write("/app/app.py"))
attempt("write environment", lambda: write(sys.prefix + "/evil.py"))
attempt("write system", lambda: write("/usr/bin/evil"))
attempt("write kernel", lambda: write("/proc/sys/kernel/core_pattern"))
attempt("write root", lambda: write("/evil"))
attempt("write data", lambda: write("/data/mine"))
attempt("write tmp", lambda: write("/tmp/mine"))
attempt("become root", lambda: os.setuid(0) if os.getuid() else None)
attempt("raw socket", lambda: str(socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)))
attempt("device", lambda: os.mknod("/tmp/device", 0o20666, os.makedev(1, 1)))
attempt("signal all", lambda: os.kill(-1, 0))
found["processes"] = sorted(int(n) for n in os.listdir("/proc") if n.isdigit())
found["uid"] = os.getuid()
if platform.machine() == "x86_64":
    attempt("unshare", lambda: call(272, 0x10000000))
    attempt("clone", lambda: call(56, 0x10000011, 0, 0, 0, 0))
    attempt("clone3", lambda: call(435, 0, 0))
    attempt("mount", lambda: call(165, b"none", b"/tmp", b"tmpfs", 0, 0))
    attempt("ptrace", lambda: call(101, 0, 0, 0, 0))
    attempt("keyctl", lambda: call(250, 0, -3, 0))
    attempt("bpf", lambda: call(321, 0, 0, 0))
    attempt("userfaultfd", lambda: call(323, 1))
    attempt("perf", lambda: call(298, 0, 0, -1, -1, 0))
    attempt("x32", lambda: call(0x40000000 + 39))
found["status"] = dict(l.split(":\\t", 1) for l in open("/proc/self/status").read().splitlines())
print(json.dumps(found))
"""
ALLOWED = {"write data", "write tmp"}
ALLOWED_IN_CONTAINERS = {
    "root's home",  # of its own image
    "ptrace",  # among its own processes: the engine's seccomp profile leaves it
}


async def test_a_hostile_app_gets_nothing(locked_berth: Berth) -> None:
    berth = locked_berth
    container = berth.engine.level == "container"
    more = ALLOWED_IN_CONTAINERS if container else set()
    reference = await berth.start(HOSTILE, command=f"exec python app.py {berth.home}")
    await berth.ended(reference)
    (line,) = await berth.lines()
    found = json.loads(line)
    attempts = {name: result for name, result in found.items() if isinstance(result, str)}
    home = attempts.pop("home")
    assert home == "environments" or (container and home.startswith("refused"))
    refused = {name for name, result in attempts.items() if result.startswith("refused")}
    assert set(attempts) - refused == ALLOWED | more, attempts
    assert OTHERS_SECRET not in line
    status = found["status"]
    assert int(status["CapEff"], 16) == int(status["CapBnd"], 16) == 0 or os.geteuid() != 0
    assert int(status["CapEff"], 16) == 0
    assert status["NoNewPrivs"] == "1"
    assert len(found["processes"]) <= 3
    assert found["uid"] != 0
    if platform.machine() in ("x86_64", "aarch64"):
        assert status["Seccomp"] == "2"


async def test_its_user_owns_only_its_data(locked_berth: Berth) -> None:
    reference = await locked_berth.start("open('/data/mine', 'w')")
    await locked_berth.ended(reference)
    mine = locked_berth.home / "apps" / "sales" / "data" / "mine"
    if os.geteuid() == 0:
        assert mine.stat().st_uid >= 200_000
    else:
        assert mine.stat().st_uid == os.geteuid()
