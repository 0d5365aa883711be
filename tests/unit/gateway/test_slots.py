"""A slot's workers: who accepts, who follows, when the next is started."""

from types import SimpleNamespace
from typing import Any

from gateway.slots import LONGEST_PAUSE_SECONDS, READY_SECONDS, STEADY_SECONDS, Slot


class FakeWorker(SimpleNamespace):
    """Told and signalled like a worker, without a process."""

    def tell(self, line: str) -> None:
        self.told.append(line)

    def signal(self, number: int) -> None:
        self.signals.append(number)


def worker(name: str = "w", began: float = 0.0) -> Any:
    return FakeWorker(name=name, began=began, ready=False, told=[], signals=[])


def filled() -> tuple[Slot, Any]:
    slot, first = Slot(0), worker("first")
    slot.fresh = first
    slot.is_ready(first)
    return slot, first


def test_a_fresh_worker_retires_the_one_before_it_when_it_is_ready() -> None:
    slot, first = filled()
    second = worker("second")
    slot.fresh = second
    assert first.told == []
    slot.is_ready(second)
    assert first.told == ["retire"]
    assert (slot.worker, slot.fresh) == (second, None)
    assert not slot.has_ended(first, 10)


def test_the_readiness_of_a_stranger_changes_nothing() -> None:
    slot, first = filled()
    slot.is_ready(worker("stranger"))
    assert slot.worker is first


def test_a_worker_that_served_is_followed_at_once() -> None:
    slot, first = filled()
    assert not slot.lacks_worker(0)
    assert slot.has_ended(first, STEADY_SECONDS + 1)
    assert slot.lacks_worker(STEADY_SECONDS + 1)


def test_one_that_dies_of_starting_again_and_again_is_followed_ever_later() -> None:
    slot, now, pauses = Slot(0), 0.0, []
    for _ in range(8):
        slot.fresh = dying = worker(began=now)
        assert slot.has_ended(dying, now)
        pause = slot.due(now) - now
        assert slot.lacks_worker(now + pause)
        assert pause == 0 or not slot.lacks_worker(now + pause / 2)
        pauses.append(pause)
        now += pause
    assert pauses[:2] == [0, 0.25]
    assert pauses == sorted(pauses)
    assert pauses[-1] == LONGEST_PAUSE_SECONDS


def test_a_fresh_one_that_dies_leaves_the_one_before_it() -> None:
    slot, first = filled()
    slot.fresh = second = worker("second")
    assert slot.has_ended(second, 1)
    assert slot.worker is first
    assert first.told == []
    assert not slot.lacks_worker(100)


def test_one_that_never_gets_ready_is_ended_once() -> None:
    slot = Slot(0)
    slot.fresh = hung = worker()
    assert not slot.start_is_overdue(READY_SECONDS - 1)
    assert slot.due(0) == READY_SECONDS
    assert slot.start_is_overdue(READY_SECONDS + 1)
    slot.give_up()
    assert len(hung.signals) == 1
    assert not slot.start_is_overdue(READY_SECONDS + 2)


def test_one_that_leaves_by_itself_is_followed_while_it_finishes() -> None:
    slot, first = filled()
    slot.leaves(first)
    assert slot.lacks_worker(0)
    assert not slot.has_ended(first, 1)
