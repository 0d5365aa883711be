"""What a worker process does, from its birth in the nursery to its end."""

import contextlib
import resource
import socket
from typing import Any

import uvloop

from gateway.app import serve
from gateway.control import Abandoned, Post
from gateway.settings import GatewaySettings
from shared.process import read_settings

MOST_DESCRIPTORS = 1_048_576


def run(words: dict[str, Any], sockets: list[socket.socket]) -> int:
    """Serve, and return the exit status. `words` are the worker's `name`, its `slot`, whether it is
    `hurried`, and in `kinds` what each of the sockets behind the first, the channel, is for."""
    channel, *others = sockets
    listening: dict[str, list[socket.socket]] = {}
    for kind, one in zip(words["kinds"], others, strict=True):
        one.setblocking(False)
        listening.setdefault(kind, []).append(one)
    post = Post(words["name"], words["slot"], words["hurried"], channel, listening)
    _name_process(f"gateway {post.slot}")
    settings = read_settings("gateway", GatewaySettings)
    settings.instance = post.name
    raise_descriptor_limit()
    try:
        return 0 if uvloop.run(serve(settings, post)) else 1
    except Abandoned:
        return 1


def raise_descriptor_limit() -> None:
    """Each client and each target costs one; the soft limit is often 1,024."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = MOST_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, MOST_DESCRIPTORS)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def _name_process(name: str) -> None:
    """For `ps` and `top` (proc(5), /proc/PID/comm): its arguments are the nursery's."""
    with contextlib.suppress(OSError), open("/proc/self/comm", "w") as file:
        file.write(name)
