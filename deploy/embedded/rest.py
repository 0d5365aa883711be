"""A rest of the control plane: all that writes is stopped while somebody copies the data.

Whoever wants it notes its pid and signals the supervisor; the rest ends with that process, so a
backup that is killed leaves nothing stopped.
"""

import json
import os
import signal

from deploy.embedded.children import running_pid, start_time
from deploy.embedded.layout import Layout


def ask(layout: Layout, supervisor: int) -> None:
    """Ask the supervisor for a rest that lasts as long as this process."""
    pid = os.getpid()
    request = {"pid": pid, "started": start_time(pid)}
    (layout.run / "rest-request").write_text(json.dumps(request))
    os.kill(supervisor, signal.SIGUSR1)


def is_resting(layout: Layout) -> bool:
    return (layout.run / "resting").exists()


def is_wanted(layout: Layout) -> bool:
    """Does the process that asked still live, and still want it?"""
    return running_pid(layout.run / "rest-request") is not None


def end(layout: Layout) -> None:
    """Say that the rest is no longer wanted."""
    (layout.run / "rest-request").unlink(missing_ok=True)


def announce(layout: Layout) -> None:
    (layout.run / "resting").touch()


def forget(layout: Layout) -> None:
    """The rest is over."""
    for name in ("resting", "rest-request"):
        (layout.run / name).unlink(missing_ok=True)
