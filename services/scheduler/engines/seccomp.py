"""System calls that no data app needs and that ways out of sandboxes begin with: refused.

A classic BPF program over `struct seccomp_data` (seccomp(2)), assembled by hand so that nothing has
to be installed. Numbers from the kernel's syscall tables (x86_64 and the generic one of aarch64).
"""

import platform
import struct
from dataclasses import dataclass

LOAD, EQUAL, AT_LEAST, ANY_BIT, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
ALLOW, REFUSE = 0x7FFF0000, 0x00050000
EPERM, ENOSYS = 1, 38
NUMBER, ARCHITECTURE, FIRST_ARGUMENT = 0, 4, 16
NEW_NAMESPACES = 0x7E020000
"""CLONE_NEWNS, -CGROUP, -UTS, -IPC, -USER, -PID and -NET."""
X32 = 0x40000000

# Same numbers everywhere: open_tree to fspick, mount_setattr, quotactl_fd, pidfd_getfd.
EVERYWHERE = (*range(428, 434), 442, 443, 438)
# Absent, so that callers fall back: io_uring and clone3, whose flags a filter cannot see.
ABSENT = (425, 426, 427, 435)


@dataclass(frozen=True)
class Table:
    """What differs between machines: AUDIT_ARCH_*, the number of clone, and what is refused."""

    architecture: int
    clone: int
    refused: tuple[int, ...]


TABLES = {
    "x86_64": Table(
        0xC000003E,
        56,
        (
            *(272, 308, 165, 166, 155, 161),  # unshare setns mount umount2 pivot_root chroot
            *(101, 310, 311, 312),  # ptrace process_vm_readv process_vm_writev kcmp
            *(248, 249, 250, 321, 298, 323),  # *_key keyctl bpf perf_event_open userfaultfd
            *(246, 320, 175, 313, 176, 169),  # kexec_* *_module reboot
            *(167, 168, 163, 179, 103, 164, 227),  # swap* acct quotactl syslog set*time
            *(172, 173, 304, 212, 180),  # iopl ioperm open_by_handle_at lookup_dcookie nfsservctl
        ),
    ),
    "aarch64": Table(
        0xC00000B7,
        220,
        (
            *(97, 268, 40, 39, 41, 51),
            *(117, 270, 271, 272),
            *(217, 218, 219, 280, 241, 282),
            *(104, 294, 105, 273, 106, 142),
            *(224, 225, 89, 60, 116, 170, 112),
            *(265, 18, 42),
        ),
    ),
}


def seccomp_program(machine: str = platform.machine()) -> bytes | None:
    """The program for bubblewrap's `--seccomp`; None for a machine that we have no table of."""
    table = TABLES.get(machine)
    if table is None:
        return None
    program = [
        _step(LOAD, ARCHITECTURE),
        _step(EQUAL, table.architecture, 1, 0),
        _step(RETURN, REFUSE | EPERM),
        _step(LOAD, NUMBER),
        # The x32 calls of x86_64 would be a second door.
        _step(AT_LEAST, X32, 0, 1),
        _step(RETURN, REFUSE | EPERM),
    ]
    for numbers, error in (((*EVERYWHERE, *table.refused), EPERM), (ABSENT, ENOSYS)):
        for number in numbers:
            program += [_step(EQUAL, number, 0, 1), _step(RETURN, REFUSE | error)]
    program += [
        _step(EQUAL, table.clone, 0, 3),
        _step(LOAD, FIRST_ARGUMENT),
        _step(ANY_BIT, NEW_NAMESPACES, 0, 1),
        _step(RETURN, REFUSE | EPERM),
        _step(RETURN, ALLOW),
    ]
    return b"".join(program)


def _step(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    """One `struct sock_filter`; both jumps count the steps that are passed over."""
    return struct.pack("=HBBI", code, if_true, if_false, value)
