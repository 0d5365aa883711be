"""The page about conformance is the one that the cases make."""

from tests.integration.gateway.conformance.page import PATH, page
from tests.integration.gateway.conformance.table import CASES, TABLE


def test_page_is_up_to_date() -> None:
    command = "python -m tests.integration.gateway.conformance.page"
    assert PATH.read_text() == page(), f"run '{command}' and commit the result"


def test_names_are_distinct() -> None:
    assert len(CASES) == sum(len(cases) for cases in TABLE.values())
