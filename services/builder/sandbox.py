"""Where foreign code runs during a build: it sees the system, the environment and a scratch folder.

bubblewrap makes the sandbox: its own processes, its own view of the files, nothing writable but
what is named, no way to the platform's folder. Where the builder runs as root, the code runs as a
user of its own besides, so that a way out would lead to nobody's files.
Without bubblewrap the code runs plainly, which is said once in each build's log that needs it.
"""

import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from shared.errors import Invalid

Level = Literal["bubblewrap", "plain"]

SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
SETTINGS = (
    "/etc/alternatives",
    "/etc/ca-certificates",
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

    `read` and `write` map a place inside to the folder or file that is shown there; `scratch` is
    shown as `/tmp`.
    """

    scratch: Path
    read: dict[str, Path] = field(default_factory=dict[str, Path])
    write: dict[str, Path] = field(default_factory=dict[str, Path])
    network: bool = False


@dataclass(frozen=True)
class Sandbox:
    """How this machine lets foreign code be locked in. `uid` is None where we are not root."""

    level: Level
    uid: int | None

    @property
    def locks(self) -> bool:
        """Whether code has a view of the files of its own, with the scratch folder as `/tmp`."""
        return self.level == "bubblewrap"

    @property
    def warning(self) -> str | None:
        if self.locks:
            return None
        return "This server has no bubblewrap: code of packages runs without a sandbox."

    def wrap(self, command: Sequence[str], view: View) -> list[str]:
        """The command line that runs `command` locked in.

        Raises `Invalid` where it could only run with the platform's own rights over everything.
        """
        if self.locks:
            return [*self._bubblewrap(view), "--", *self._dropped(command)]
        if self.uid is not None and not all(
            _reachable(path) for path in (*view.write.values(), view.scratch)
        ):
            raise Invalid(
                "A package has to be built from source, and this server cannot lock such code in: "
                "ask for versions that have wheels, or have the administrator install bubblewrap."
            )
        return self._dropped(command)

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
                    os.chmod(whole, 0o755)  # noqa: S103
        if self.uid is not None:
            os.chown(folder, os.geteuid(), os.getegid())

    def _bubblewrap(self, view: View) -> list[str]:
        arguments = ["bwrap", "--die-with-parent", "--unshare-pid", "--unshare-ipc"]
        arguments += ["--unshare-uts", "--unshare-cgroup-try", "--hostname", "build"]
        arguments += [] if view.network else ["--unshare-net"]
        if self.uid is None:
            arguments += ["--unshare-user"]
        else:
            arguments += [part for name in DROPPING for part in ("--cap-add", name)]
        arguments += [
            *_parents({"/etc/hosts": Path("/etc")}),
            *_system(),
            "--proc",
            "/proc",
            "--dev",
            "/dev",
        ]
        arguments += ["--bind", str(view.scratch), "/tmp"]
        shown = {**view.read, **view.write}
        arguments += _parents(shown)
        for inside, outside in sorted(shown.items()):
            arguments += ["--bind" if inside in view.write else "--ro-bind", str(outside), inside]
        return [*arguments, "--chdir", "/tmp"]

    def _dropped(self, command: Sequence[str]) -> list[str]:
        if self.uid is None:
            return list(command)
        identity = ["--reuid", str(self.uid), "--regid", str(self.uid), "--clear-groups"]
        nothing = ["--no-new-privs", "--bounding-set=-all", "--inh-caps=-all"]
        return ["setpriv", *identity, *nothing, *command]


def find_sandbox(uid: int) -> Sandbox:
    """The best that this machine allows, tried for real. `uid` is used where we are root."""
    as_root = os.geteuid() == 0
    best = Sandbox("bubblewrap", uid if as_root else None)
    if shutil.which("bwrap") and (not as_root or shutil.which("setpriv")) and _works(best):
        return best
    return Sandbox("plain", uid if as_root and shutil.which("setpriv") else None)


def _works(sandbox: Sandbox) -> bool:
    command = sandbox.wrap(["/bin/true"], View(scratch=Path("/tmp")))
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


def _reachable(path: Path) -> bool:
    """Whether another user may go through all the folders above `path`."""
    return all(parent.stat().st_mode & 0o001 for parent in path.parents)
