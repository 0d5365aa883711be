"""What the reconciler decides, without a process or a database."""

from services.scheduler.reconciler import backoff, missing_and_surplus

WEB_AND_WORKER = {"web": "gunicorn app:app", "worker": "python work.py"}


def rows(*names):
    return [{"instance": name, "process_type": name.split(".")[1]} for name in names]


def decide(formation, *names, process_types=WEB_AND_WORKER):
    lacking, surplus = missing_and_surplus({"formation": formation}, rows(*names), process_types)
    return sorted(lacking), sorted(row["instance"] for row in surplus)


def test_nothing_to_do():
    assert decide({"web": 1}, "a.web.1-1") == ([], [])


def test_what_is_missing_takes_the_first_free_numbers():
    assert decide({"web": 3}, "a.web.1-2") == ([("web", 1), ("web", 3)], [])
    assert decide({"web": 1, "worker": 1}, "a.web.1-1") == ([("worker", 1)], [])


def test_the_highest_numbers_go_first():
    assert decide({"web": 1}, "a.web.1-1", "a.web.1-2", "a.web.1-3") == (
        [],
        ["a.web.1-2", "a.web.1-3"],
    )


def test_scaled_to_nothing_all_go():
    assert decide({"web": 0}, "a.web.1-1") == ([], ["a.web.1-1"])


def test_a_process_type_that_the_release_has_not_is_not_started():
    assert decide({"web": 1, "clock": 2}, "a.web.1-1") == ([], [])
    assert decide({"web": 1}, "a.web.1-1", "a.old.1-1") == ([], ["a.old.1-1"])


def test_a_crash_loop_slows_down_to_a_minute():
    assert [backoff(n) for n in range(9)] == [0, 1, 2, 4, 8, 16, 32, 60, 60]
