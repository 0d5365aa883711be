"""One embedded platform for all acceptance tests; a test that breaks it repairs it."""

from collections.abc import Iterator

import pytest

from tests.harness.platform import Platform


@pytest.fixture(scope="session")
def platform() -> Iterator[Platform]:
    running = Platform({"MOORAGE_HEALTH_TIMEOUT": "12", "MOORAGE_DRAIN_SECONDS": "5"})
    try:
        running.up()
        yield running
    finally:
        running.remove()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """With a failed test show what the platform's processes said last."""
    outcome = yield
    report = outcome.get_result()
    if report.failed and "platform" in item.funcargs:
        report.sections.append(("platform logs", item.funcargs["platform"].logs()))
