"""Whether an address is still its target's."""

import os
import subprocess
import sys

import pytest

from deploy.embedded.children import start_time
from gateway.recognition import is_itself


def test_a_process_is_itself_until_it_ends() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    proof = f"process:{child.pid}:{start_time(child.pid)}"
    assert is_itself(proof)
    child.communicate(b"\n")
    assert not is_itself(proof)


@pytest.mark.parametrize(
    "proof",
    [
        f"process:{os.getpid()}:1",
        f"process:{os.getpid()}:",
        f"process:{os.getpid()}",
        "process:999999999:1",
        "process:../1:1",
        "process:",
    ],
)
def test_what_does_not_fit_is_somebody_else(proof: str) -> None:
    assert not is_itself(proof)


def test_a_target_without_a_proof_is_taken_at_its_word() -> None:
    assert is_itself("")
    assert is_itself("container:abc")
