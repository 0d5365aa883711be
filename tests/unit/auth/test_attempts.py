import pytest

from services.auth.attempts import FORGET_SECONDS, FREE, LONGEST_SECONDS, Failures


def failed(times: int, now: float = 1000.0) -> Failures:
    failures = Failures()
    for _ in range(times):
        failures = failures.another(now)
    return failures


@pytest.mark.parametrize("times", range(FREE))
def test_a_few_failures_are_free(times: int) -> None:
    assert failed(times).wait(1000.0) == 0.0


def test_then_the_wait_doubles_up_to_a_minute() -> None:
    waits = [failed(FREE + more).wait(1000.0) for more in range(9)]
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60, 60]


def test_the_wait_is_never_longer_however_many_fail() -> None:
    assert failed(100_000).wait(1000.0) == LONGEST_SECONDS


def test_the_wait_passes() -> None:
    failures = failed(FREE + 3)
    assert failures.wait(1003.0) == 5.0
    assert failures.wait(1008.0) == 0.0


def test_after_a_quiet_while_all_is_forgotten() -> None:
    failures = failed(50)
    later = 1000.0 + FORGET_SECONDS + 1
    assert failures.wait(later) == 0.0
    assert failures.another(later) == Failures(1, later)


def test_a_clock_that_goes_back_does_not_lengthen_the_wait() -> None:
    assert failed(FREE + 2).wait(10.0) == 4.0
