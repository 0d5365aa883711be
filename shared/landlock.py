"""Runs a command that may touch only the files it was given: `landlock.py RULES -- command ...`.

Landlock lets a process give up rights for itself and all that comes after it (landlock(7)); nobody
needs to be root for it. This helper does that and becomes the command, so no process stays behind.
It starts with the platform's own interpreter, outside of the sandbox, and imports next to nothing,
because every start of an app waits for it.

The numbers are the kernel's (include/uapi/linux/landlock.h); rights that an older kernel does not
know are left out.
"""

import ctypes
import json
import os
import sys

CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
ASK_VERSION = 1
BENEATH_PATH = 1
PR_SET_NO_NEW_PRIVS = 38

EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
REFER, TRUNCATE, IOCTL_DEV = 1 << 13, 1 << 14, 1 << 15
FIRST_RIGHTS = (1 << 13) - 1
LATER_RIGHTS = {2: REFER, 3: TRUNCATE, 5: IOCTL_DEV}
OF_FILES = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV
READING = EXECUTE | READ_FILE | READ_DIR

TCP_SINCE, ALL_TCP = 4, 0b11
SCOPES_SINCE, ALL_SCOPES = 6, 0b11
"""Abstract sockets of others, and signals to others."""

UNUSABLE = 126


class Rules:
    """What the command may touch, by places of this machine.

    `read` is read and executed, `write` is changed as well. `scratch` becomes its `TMPDIR`, and its
    `HOME` where that was `/tmp`. Without `network` there is no TCP, where the kernel can tell.
    """

    def __init__(
        self, read: list[str], write: list[str], folder: str, scratch: str, network: bool
    ) -> None:
        self.read = read
        self.write = write
        self.folder = folder
        self.scratch = scratch
        self.network = network

    def text(self) -> str:
        return json.dumps(vars(self))


def version() -> int:
    """The version of Landlock that this kernel has; 0 for none."""
    found = _libc().syscall(CREATE_RULESET, None, ctypes.c_size_t(0), ASK_VERSION)
    return max(0, int(found))


def file_rights(abi: int) -> int:
    """All rights on files that version `abi` knows."""
    later = (rights for since, rights in LATER_RIGHTS.items() if abi >= since)
    return FIRST_RIGHTS | sum(later)


def attributes(abi: int, network: bool) -> list[int]:
    """What is taken away unless a rule gives it: rights on files, on TCP, and scopes."""
    tcp = ALL_TCP if abi >= TCP_SINCE and not network else 0
    return [file_rights(abi), tcp, ALL_SCOPES if abi >= SCOPES_SINCE else 0]


def restrict(rules: Rules, abi: int) -> None:
    """Give up everything but `rules`, for ever. Raises `OSError`."""
    taken = (ctypes.c_uint64 * 3)(*attributes(abi, rules.network))
    size = ctypes.c_size_t(ctypes.sizeof(taken))
    ruleset = _call(CREATE_RULESET, ctypes.byref(taken), size, 0)
    for path in rules.read:
        _allow(ruleset, path, READING)
    for path in rules.write:
        _allow(ruleset, path, int(taken[0]))
    if _libc().prctl(PR_SET_NO_NEW_PRIVS, *map(ctypes.c_ulong, (1, 0, 0, 0))):
        raise OSError(ctypes.get_errno(), "no_new_privs was refused")
    _call(RESTRICT_SELF, ruleset, 0)
    os.close(ruleset)


def _allow(ruleset: int, path: str, rights: int) -> None:
    opened = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        if not os.path.isdir(path):
            rights &= OF_FILES
        beneath = rights.to_bytes(8, sys.byteorder) + opened.to_bytes(4, sys.byteorder)
        _call(ADD_RULE, ruleset, BENEATH_PATH, beneath, 0)
    finally:
        os.close(opened)


def _call(number: int, *arguments: object) -> int:
    result = int(_libc().syscall(number, *arguments))
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _settle(rules: Rules) -> None:
    os.chdir(rules.folder)
    if rules.scratch:
        os.environ["TMPDIR"] = rules.scratch
        if os.environ.get("HOME") == "/tmp":
            os.environ["HOME"] = rules.scratch


def _program(name: str) -> str:
    """As `execvp` finds it; that one imports more, which the rules may have closed by then."""
    if "/" in name:
        return name
    places = os.environ.get("PATH", os.defpath).split(os.pathsep)
    found = (os.path.join(place, name) for place in places)
    return next((path for path in found if os.access(path, os.X_OK)), name)


def main(arguments: list[str]) -> int:
    """Become the command; the status is 126 when it could not be locked in, and it did not run."""
    text, _, *command = arguments
    try:
        rules = Rules(**json.loads(text))
        abi = version()
        if not abi:
            raise OSError("this kernel has no Landlock")
        _settle(rules)
        program = _program(command[0])
        restrict(rules, abi)
        os.execv(program, command)
    except OSError as error:
        print(f"The command was not started: {error}.", file=sys.stderr)
        return UNUSABLE


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
