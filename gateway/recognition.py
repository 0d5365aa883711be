"""Recognising a target before it is used: its address may belong to somebody else by now.

A gateway that has heard nothing for a while keeps its table, and an address that was free in the
meantime may have been given to another app. A target therefore carries a proof that the engine
understands; `process:PID:START` names a process of this machine by its pid and the time at which it
started (clock ticks since boot, field 22 of /proc/PID/stat, proc(5)), a pair that is never used
again. The engine lets nobody else have the address for as long as that process lives. Checked once
a connection stands: was the process alive then, the connection was made to it.
"""

from pathlib import Path

PROCESS = "process:"


def is_itself(proof: str) -> bool:
    """Is the target still what the proof says? A target without a proof is taken at its word."""
    if not proof.startswith(PROCESS):
        return True
    pid, _, started = proof.removeprefix(PROCESS).partition(":")
    return bool(started) and pid.isdecimal() and _start_time(pid) == started


def _start_time(pid: str) -> str | None:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else fields[19]
