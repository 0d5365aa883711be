"""Where foreign code runs: it sees the system, what it is shown, and nothing else of this machine.

bubblewrap makes the sandbox: a view of the files of its own, processes of its own, no capabilities,
no new privileges. Where the platform runs as root, the code runs as a user of its own besides, so
that a way out would lead to nobody's files. Without bubblewrap it runs plainly, as unprivileged as
the machine allows; who starts it has to say so.
"""

import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

Level = Literal["bubblewrap", "plain"]

SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
SETTINGS = (
    "/etc/alternatives",
    "/etc/ca-certificates",
    "/etc/fonts",
    "/etc/host.conf",
    "/etc/hosts",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/localtime",
    "/etc/nsswitch.conf",
    "/etc/pki",
    "/etc/resolv.conf",
    "/etc/ssl",
)
DROPPING = ("CAP_SETUID", "CAP_SETGID", "CAP_SETPCAP")
"""What bubblewrap leaves to `setpriv`, which uses it to drop everything."""


@dataclass(frozen=True)
class View:
    """What a sandboxed command sees besides the system.

    `read` and `write` map a place inside to the folder or file that is shown there. `/tmp` is
    `scratch`, or a memory file system of its own without one. `outlives` leaves the command running
    when whoever started it ends.
    """

    scratch: Path | None = None
    read: dict[str, Path] = field(default_factory=dict[str, Path])
    write: dict[str, Path] = field(default_factory=dict[str, Path])
    network: bool = False
    folder: str = "/tmp"
    hostname: str = "sandbox"
    outlives: bool = False


@dataclass(frozen=True)
class Sandbox:
    """How this machine lets foreign code be locked in. `uid` is None where we are not root."""

    level: Level
    uid: int | None

    @property
    def locks(self) -> bool:
        """Does code get a view of the files of its own, with what it is shown in its places?"""
        return self.level == "bubblewrap"

    def contains(self, view: View) -> bool:
        """False where code could only run with the platform's own rights, as root."""
        return self.locks or self.uid is None or reachable(_outside(view))

    def wrap(self, command: Sequence[str], view: View) -> list[str]:
        """The command line that runs `command` locked in, or as plainly as `contains` says."""
        if self.locks:
            return [*self._bubblewrap(view), "--", *self._dropped(command, self.uid)]
        return self._dropped(command, self.uid if self.contains(view) else None)

    def own(self, *folders: Path) -> None:
        """Let the sandboxed user write into these folders (not into files that lie there)."""
        if self.uid is not None:
            for folder in folders:
                for path, _, _ in os.walk(folder):
                    os.chown(path, self.uid, self.uid, follow_symlinks=False)

    def take_back(self, folder: Path) -> None:
        """Make everything that was left in `folder` ours, and nothing of it set-user-id."""
        for path, folders, files in os.walk(folder):
            for name in (*folders, *files):
                whole = os.path.join(path, name)
                if self.uid is not None:
                    os.chown(whole, os.geteuid(), os.getegid(), follow_symlinks=False)
                if not os.path.islink(whole) and os.lstat(whole).st_mode & 0o6000:
                    os.chmod(whole, 0o755)
        if self.uid is not None:
            os.chown(folder, os.geteuid(), os.getegid())

    def _bubblewrap(self, view: View) -> list[str]:
        arguments = ["bwrap", "--unshare-pid", "--unshare-ipc", "--unshare-uts"]
        arguments += ["--unshare-cgroup-try", "--hostname", view.hostname]
        arguments += ["--new-session"] if view.outlives else ["--die-with-parent"]
        arguments += [] if view.network else ["--unshare-net"]
        if self.uid is None:
            arguments += ["--unshare-user"]
        else:
            arguments += [part for name in DROPPING for part in ("--cap-add", name)]
        arguments += [*_parents({"/etc/hosts": Path("/etc")}), *_system()]
        arguments += ["--proc", "/proc", "--dev", "/dev"]
        arguments += (
            ["--bind", str(view.scratch), "/tmp"]
            if view.scratch
            else ["--perms", "1777", "--tmpfs", "/tmp"]
        )
        shown = {**view.read, **view.write}
        arguments += _parents(shown)
        for inside, outside in sorted(shown.items()):
            arguments += ["--bind" if inside in view.write else "--ro-bind", str(outside), inside]
        return [*arguments, "--chdir", view.folder]

    def _dropped(self, command: Sequence[str], uid: int | None) -> list[str]:
        if self.uid is None or not shutil.which("setpriv"):
            return list(command)
        identity = [] if uid is None else ["--reuid", str(uid), "--regid", str(uid)]
        identity += [] if uid is None else ["--clear-groups"]
        nothing = ["--no-new-privs", "--bounding-set=-all", "--inh-caps=-all"]
        return ["setpriv", *identity, *nothing, *command]


def find_sandbox(uid: int, bubblewrap: bool = True) -> Sandbox:
    """The best that this machine allows, tried for real.

    `uid` is the user that foreign code gets where we are root; `bubblewrap=False` goes without.
    """
    as_root = os.geteuid() == 0
    best = Sandbox("bubblewrap", uid if as_root else None)
    usable = bubblewrap and shutil.which("bwrap") and (not as_root or shutil.which("setpriv"))
    return best if usable and _works(best) else Sandbox("plain", uid if as_root else None)


def reachable(paths: Sequence[Path]) -> bool:
    """May another user go through all the folders above each of `paths`?"""
    return all(parent.stat().st_mode & 0o001 for path in paths for parent in path.parents)


def _outside(view: View) -> list[Path]:
    return [*view.read.values(), *view.write.values(), *filter(None, [view.scratch])]


def _works(sandbox: Sandbox) -> bool:
    command = sandbox.wrap(["/bin/true"], View())
    try:
        return subprocess.run(command, capture_output=True, timeout=10).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def _system() -> list[str]:
    arguments: list[str] = []
    for name in SYSTEM:
        if os.path.islink(name):
            arguments += ["--symlink", os.readlink(name), name]
        elif os.path.isdir(name):
            arguments += ["--ro-bind", name, name]
    for name in SETTINGS:
        if os.path.exists(name):
            arguments += ["--ro-bind", os.path.realpath(name), name]
    return arguments


def _parents(shown: dict[str, Path]) -> list[str]:
    """Folders above what is shown; bubblewrap would make some of them closed to other users."""
    parents = {
        str(parent)
        for inside in shown
        for parent in Path(inside).parents
        if str(parent) not in ("/", "/tmp") and not _in_system(parent)
    }
    return [part for name in sorted(parents) for part in ("--perms", "0755", "--dir", name)]


def _in_system(path: Path) -> bool:
    return any(path.is_relative_to(name) for name in SYSTEM)
