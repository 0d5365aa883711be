"""Where foreign code runs: it sees the system, what it is shown, and nothing else of this machine.

bubblewrap makes the sandbox: a view of the files of its own, processes of its own, no capabilities,
no new privileges. Where the platform runs as root, the code runs as a user of its own besides, so
that a way out would lead to nobody's files.

Without bubblewrap the kernel's Landlock closes all files but those it is given, which stay in their
places; processes and the network are the machine's. Without either it runs plainly, as unprivileged
as the machine allows. Who starts it has to say so.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from shared import landlock
from shared.landlock import Rules

Level = Literal["bubblewrap", "landlock", "plain"]

SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
SETTINGS = (
    "/etc/alternatives",
    "/etc/ca-certificates",
    "/etc/fonts",
    "/etc/group",
    "/etc/host.conf",
    "/etc/hosts",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/localtime",
    "/etc/nsswitch.conf",
    "/etc/passwd",
    "/etc/pki",
    "/etc/resolv.conf",
    "/etc/ssl",
)
CERTIFICATES = (
    "/etc/pki/ca-trust",
    "/etc/pki/tls/certs",
    "/etc/ssl/certs",
    "/etc/ssl/openssl.cnf",
)
"""Instead of whole folders with private keys, which root could read under Landlock."""
MACHINE = (
    "/etc/apache2/mime.types",
    "/etc/httpd/conf/mime.types",
    "/proc",
    "/sys/devices/system",
    "/sys/fs/cgroup",
)
"""What programs look for and take as missing, as it is in bubblewrap's view; but they fail where
it is there and closed, which is how Landlock hides."""
DEVICES = ("full", "null", "random", "shm", "tty", "urandom", "zero")
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
        return self.level != "plain" or self.uid is None or reachable(_outside(view))

    def identity(self, view: View) -> int | None:
        """The user that code runs as; None is our own, without capabilities."""
        return self.uid if self.locks or reachable(_outside(view)) else None

    def place(self, view: View, inside: str) -> str:
        """The path at which the command finds what `view` shows at `inside`.

        Only bubblewrap moves things; elsewhere they are where they always were.
        """
        if self.locks:
            return inside
        shown = {**({"/tmp": view.scratch} if view.scratch else {}), **view.read, **view.write}
        for name in (inside, *map(str, Path(inside).parents)):
            if name in shown:
                return str(shown[name] / Path(inside).relative_to(name))
        return inside

    def wrap(self, command: Sequence[str], view: View) -> list[str]:
        """The command line that runs `command` locked in, or as plainly as `contains` says."""
        if self.locks:
            return [*self._bubblewrap(view), "--", *self._dropped(command, self.uid)]
        dropped = self._dropped(command, self.identity(view))
        return [*self._landlock(view), "--", *dropped] if self.level == "landlock" else dropped

    def own(self, *folders: Path) -> None:
        """Let the sandboxed user write into these folders (not into files that lie there).

        Under Landlock our group may too, as code may have to run as root without capabilities.
        """
        if self.uid is None:
            return
        both = self.level == "landlock"
        for folder in folders:
            for path, _, _ in os.walk(folder):
                os.chown(path, self.uid, os.getegid() if both else self.uid, follow_symlinks=False)
                if both:
                    os.chmod(path, os.lstat(path).st_mode & 0o7777 | 0o070)

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
        # bubblewrap's own is closed to another user, and locks of `multiprocessing` lie there.
        arguments += ["--perms", "1777", "--tmpfs", "/dev/shm"]
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

    def _landlock(self, view: View) -> list[str]:
        shown = [str(path) for path in view.read.values()]
        scratch = [str(view.scratch)] if view.scratch else []
        rules = Rules(
            read=[*_open_system(), *shown],
            write=[*_devices(), *scratch, *map(str, view.write.values())],
            folder=self.place(view, view.folder),
            scratch="".join(scratch),
            network=view.network,
        )
        return [sys.executable, "-IS", os.path.abspath(landlock.__file__), rules.text()]

    def _dropped(self, command: Sequence[str], uid: int | None) -> list[str]:
        if self.uid is None or not shutil.which("setpriv"):
            return list(command)
        identity = [] if uid is None else ["--reuid", str(uid), "--regid", str(uid)]
        identity += [] if uid is None else ["--clear-groups"]
        nothing = ["--no-new-privs", "--bounding-set=-all", "--inh-caps=-all"]
        return ["setpriv", *identity, *nothing, *command]


def find_sandbox(uid: int, bubblewrap: bool = True, landlock: bool = True) -> Sandbox:
    """The best that this machine allows, tried for real.

    `uid` is the user that foreign code gets where we are root; `bubblewrap=False` and
    `landlock=False` go without.
    """
    user = uid if os.geteuid() == 0 else None
    dropping = user is None or shutil.which("setpriv")
    if bubblewrap and dropping and shutil.which("bwrap") and _works(Sandbox("bubblewrap", user)):
        return Sandbox("bubblewrap", user)
    if landlock and dropping and _works(Sandbox("landlock", user)):
        return Sandbox("landlock", user)
    return Sandbox("plain", user)


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


def _open_system() -> list[str]:
    private = ("/etc/pki", "/etc/ssl")
    names = [*SYSTEM, *SETTINGS, *CERTIFICATES, *MACHINE]
    there = [name for name in names if name not in private and os.path.exists(name)]
    return [*there, *_for_all_to_read(Path("/etc"))]


def _for_all_to_read(folder: Path) -> list[str]:
    """Files of the machine's settings, and what its own Python reads at every start."""
    files = [
        entry.path
        for entry in os.scandir(folder)
        if entry.is_file() and entry.stat().st_mode & 0o004
    ]
    return [*files, *map(str, folder.glob("python3*"))]


def _devices() -> list[str]:
    return [path for name in DEVICES if os.path.exists(path := f"/dev/{name}")]


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
