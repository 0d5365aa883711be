"""What shows a gateway that an address still is an instance's, read as the gateway reads it."""

import os
import signal
from typing import Any

from berth import until

from gateway.recognition import is_itself
from services.scheduler.engines.protocol import proof_of

UP = "import time; print('up', flush=True); time.sleep(600)"


async def unlike(reference: Any) -> None:
    """The end is noted a moment before the process that notes it has ended."""

    async def gone() -> bool:
        return not is_itself(proof_of(reference))

    await until(gone)


async def test_the_proof_holds_while_the_instance_lives_and_no_longer(berth: Any) -> None:
    reference = await berth.start(UP)
    await berth.said("up")
    proof = proof_of(reference)
    assert proof.startswith("process:")
    assert is_itself(proof)
    await berth.engine.stop(reference, 1)
    assert not is_itself(proof)


async def test_it_ends_with_an_instance_that_ends_by_itself(berth: Any) -> None:
    reference = await berth.start("raise SystemExit(3)")
    await berth.ended(reference)
    await unlike(reference)


async def test_an_instance_started_again_is_another(berth: Any) -> None:
    first = await berth.start(UP)
    await berth.said("up")
    os.kill(int(proof_of(first).split(":")[1]), signal.SIGKILL)
    await berth.ended(first)
    await unlike(first)
    second = await berth.start(UP)
    assert proof_of(first) != proof_of(second)
    assert is_itself(proof_of(second))


async def test_a_scheduler_that_begins_anew_finds_the_same_proof(berth: Any) -> None:
    reference = await berth.start(UP)
    await berth.said("up")
    adopted = await berth.again().adopt()
    assert proof_of(adopted["sales.web.1-1"]) == proof_of(reference)
