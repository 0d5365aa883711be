"""The filter, run step by step as the kernel would."""

import struct

import pytest

from services.scheduler.engines.seccomp import TABLES, X32, seccomp_program

ALLOW, EPERM, ENOSYS = 0x7FFF0000, 0x00050001, 0x00050026
NEW_USER = 0x10000000
NAMES = {
    "x86_64": {"read": 0, "unshare": 272, "mount": 165, "ptrace": 101, "bpf": 321, "keyctl": 250},
    "aarch64": {"read": 63, "unshare": 97, "mount": 40, "ptrace": 117, "bpf": 280, "keyctl": 219},
}


def verdict(machine: str, number: int, argument: int = 0, architecture: int | None = None) -> int:
    program = seccomp_program(machine)
    assert program
    steps = [struct.unpack("=HBBI", program[at : at + 8]) for at in range(0, len(program), 8)]
    arch = TABLES[machine].architecture if architecture is None else architecture
    data = struct.pack("=IIQQ", number, arch, 0, argument)
    value = at = 0
    while True:
        code, if_true, if_false, constant = steps[at]
        at += 1
        if code == 0x20:
            (value,) = struct.unpack_from("=I", data, constant)
        elif code == 0x06:
            return constant
        else:
            tests = {0x15: value == constant, 0x35: value >= constant, 0x45: value & constant}
            at += if_true if tests[code] else if_false


@pytest.mark.parametrize("machine", TABLES)
def test_what_is_refused(machine: str) -> None:
    for name, number in NAMES[machine].items():
        assert verdict(machine, number) == (ALLOW if name == "read" else EPERM), name


@pytest.mark.parametrize("machine", TABLES)
def test_clone_makes_processes_and_no_namespaces(machine: str) -> None:
    clone = TABLES[machine].clone
    assert verdict(machine, clone, 0x01200011) == ALLOW
    assert verdict(machine, clone, NEW_USER | 17) == EPERM
    assert verdict(machine, 435) == ENOSYS


@pytest.mark.parametrize("machine", TABLES)
def test_other_doors_are_shut(machine: str) -> None:
    assert verdict(machine, 0, architecture=0x40000003) == EPERM
    assert verdict(machine, X32 + 39) == EPERM


def test_a_machine_without_a_table_has_no_filter() -> None:
    assert seccomp_program("riscv64") is None
