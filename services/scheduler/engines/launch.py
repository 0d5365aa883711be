"""How an app's command is started: the shells around the sandbox and inside it.

From outside to inside: a shell that notes who runs and how it ended (`WRAPPER`), the sandbox, and
in it a shell (`INNER`) that takes the app's environment from standard input. Everything outside
runs with the platform's rights, so nothing of the app's environment may reach it: a PATH or an
LD_PRELOAD of the app's own would be obeyed there. It is in no command line either.
"""

import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from services.scheduler.engines.protocol import Limits
from services.scheduler.engines.seccomp import seccomp_program
from shared.exports import exports
from shared.sandbox import Sandbox, View

MARK = "MOORAGE_MARK"
"""Names an instance in the environment of all its processes, where no control group holds them."""

# The limits hold for everything below; a group that cannot be joined is said in the app's log.
LIMITS = """
groups=$1 files=$2; shift 2
for group in $groups; do echo $$ > "$group/cgroup.procs"; done
[ -z "$files" ] || ulimit -n "$files"
"""

# Field 22 of /proc/<pid>/stat is the 20th behind the command's name. What the app left behind in
# its process group ends with it.
WRAPPER = """
folder=$1 instance=$2 boot=$3 level=$4; shift 4
note() {
    read -r stat < /proc/$$/stat
    set -- ${stat##*) }
    printf '{"instance": "%s", "pid": %d, "started": "%s", "boot": "%s", "level": "%s"}' \
        "$instance" $$ "${20}" "$boot" "$level" > "$folder/instance.json"
}
note
"""
ENDING = """
"$@"
echo $? > "$folder/exit.partial" && mv "$folder/exit.partial" "$folder/exit"
kill -KILL 0
"""

# As the first process of its namespace the shell stays, and all others end with it.
INNER = """
processes=$1 stays=$2; shift 2
settings=$(cat) && exec < /dev/null && eval "$settings" || exit 126
unset settings
[ -z "$processes" ] || ulimit -p "$processes" 2> /dev/null || ulimit -u "$processes"
[ -n "$stays" ] || exec "$@"
"$@"
exit $?
"""


@dataclass(frozen=True)
class Launch:
    """One command on its way into the sandbox; `groups` are control groups to join."""

    sandbox: Sandbox
    view: View
    command: Sequence[str]
    environment: Mapping[str, str]
    groups: Sequence[Path]
    limits: Limits
    mark: str

    @contextmanager
    def detached(self, folder: Path, instance: str, boot: str) -> Iterator["Opened"]:
        """To be noted in `folder`, where `instance.json` and `exit` tell of it."""
        noting = [str(folder), instance, boot, self.sandbox.level]
        with self._opened(WRAPPER + LIMITS + ENDING, noting) as opened:
            yield opened

    @contextmanager
    def one_off(self) -> Iterator["Opened"]:
        with self._opened(LIMITS + 'exec "$@"', []) as opened:
            yield opened

    @contextmanager
    def _opened(self, script: str, arguments: list[str]) -> Iterator["Opened"]:
        program = seccomp_program() if self.sandbox.locks else None
        with (
            _in_memory("environment", self._settings()) as settings,
            _in_memory("seccomp", program or b"") as seccomp,
        ):
            inner = self._locked(seccomp if program else None)
            limits = [" ".join(map(str, self.groups)), _text(self.limits.open_files)]
            yield Opened(
                command=("/bin/sh", "-c", script, "moorage", *arguments, *limits, *inner),
                environment={"PATH": os.environ.get("PATH", os.defpath), MARK: self.mark},
                settings=settings,
                seccomp=seccomp,
            )

    def _locked(self, seccomp: int | None) -> list[str]:
        stays = "stays" if self.sandbox.locks else ""
        inner = ["/bin/sh", "-c", INNER, "moorage", self._processes(), stays, *self.command]
        wrapped = self.sandbox.wrap(inner, self.view)
        if not self.sandbox.locks:
            return wrapped
        # Only what is mounted can be written to; the root above it is memory that nobody counts.
        middle = wrapped.index("--")
        more = ["--remount-ro", "/", "--as-pid-1"]
        more += [] if seccomp is None else ["--seccomp", str(seccomp)]
        return [*wrapped[:middle], *more, *wrapped[middle:]]

    def _processes(self) -> str:
        """RLIMIT_NPROC counts a user's processes in one user namespace: ours only if it is ours."""
        alone = self.sandbox.locks and self.sandbox.uid is None and not self.groups
        return _text(self.limits.processes) if alone else ""

    def _settings(self) -> bytes:
        return exports({**self.environment, MARK: self.mark})


@dataclass(frozen=True)
class Opened:
    """Everything `subprocess` needs; the two descriptors are open as long as this is entered."""

    command: tuple[str, ...]
    environment: dict[str, str]
    settings: int
    seccomp: int

    def popen(self, log: int, folder: Path) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            self.command,
            env=self.environment,
            cwd=folder,
            stdin=self.settings,
            stdout=log,
            stderr=log,
            pass_fds=(self.seccomp,),
            start_new_session=True,
        )


@contextmanager
def _in_memory(name: str, content: bytes) -> Iterator[int]:
    """A descriptor to read `content` from, of a file that has no name anywhere."""
    descriptor = os.memfd_create(name)
    try:
        with os.fdopen(os.dup(descriptor), "wb") as file:
            file.write(content)
        os.lseek(descriptor, 0, os.SEEK_SET)
        yield descriptor
    finally:
        os.close(descriptor)


def _text(number: int | None) -> str:
    return "" if number is None else str(number)
