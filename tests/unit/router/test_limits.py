"""What people may ask for, and what holds then."""

import json

import pytest

from gateway.settings import GatewaySettings
from gateway.table import RouteLimits
from services.router.limits import LIMITS, Wish, check_ceilings, in_force, read_wish
from services.router.settings import RouterSettings
from shared.errors import Forbidden, Invalid

NONE = dict.fromkeys(LIMITS)
PLATFORM = NONE | {"concurrent": 1000, "answer_seconds": 900.0, "idle_seconds": 3600.0}


def test_the_gateway_knows_the_same_limits():
    assert set(RouteLimits.__slots__) == LIMITS.keys()


@pytest.mark.parametrize("name", LIMITS)
def test_what_is_shown_as_the_platforms_is_what_the_gateways_go_by(name):
    ours, theirs = RouterSettings.model_fields, GatewaySettings.model_fields
    assert ours[f"app_{name}"].default == theirs[f"app_{name}"].default
    assert ours[f"app_{name}"].annotation == theirs[f"app_{name}"].annotation
    assert ours[f"max_app_{name}"].default == 0


def test_a_wish_names_what_changes():
    wish = read_wish(json.loads('{"limits": {"concurrent": 50, "rate": null}, "isolated": true}'))
    assert wish == Wish({"concurrent": 50, "rate": None}, True)
    assert read_wish({}) == Wish({}, None)
    assert read_wish({"isolated": False}) == Wish({}, False)


@pytest.mark.parametrize("limit", LIMITS.values(), ids=LIMITS)
def test_bounds_are_allowed_and_what_lies_beyond_is_not(limit):
    kind = int if limit.whole else float
    for value in (kind(limit.least), kind(limit.most)):
        assert read_wish({"limits": {limit.name: value}}).limits == {limit.name: value}
    for value in (kind(limit.least) - limit.least, limit.most + 1, -1):
        with pytest.raises(Invalid, match=f"'{limit.name}' must be"):
            read_wish({"limits": {limit.name: value}})


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity", "1e400", "1" * 400, '"5"', "[]"])
@pytest.mark.parametrize("name", ["answer_seconds", "concurrent"])
def test_what_is_no_number_in_bounds_is_refused(name, text):
    with pytest.raises(Invalid, match="must be"):
        read_wish({"limits": {name: json.loads(text)}})


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (None, "Send a JSON object"),
        ([], "Send a JSON object"),
        ({"limit": {}}, "no traffic setting 'limit'"),
        ({"limits": None}, "'limits' must be a JSON object"),
        ({"limits": {"concurent": 3}}, "no limit 'concurent'; there are concurrent, body_bytes"),
        ({"limits": {"concurrent": True}}, "a whole number from 1 to 1000000"),
        ({"limits": {"concurrent": 2.5}}, "a whole number from 1 to 1000000"),
        ({"limits": {"rate": 0}}, "a number from 0.01 to 1000000"),
        ({"isolated": None}, "true or false"),
        ({"isolated": 1}, "true or false"),
        ({"limits": {"\x1b[2J" * 50: 1}}, r"no limit '\?\[2J"),
    ],
)
def test_a_refusal_says_what_to_do(body, sentence):
    with pytest.raises(Invalid, match=sentence) as refused:
        read_wish(body)
    assert len(refused.value.detail) < 250
    assert refused.value.detail.isprintable()


def test_seconds_are_numbers_of_one_kind():
    """A bucket is compared with the table by its numbers."""
    assert isinstance(read_wish({"limits": {"rate": 3}}).limits["rate"], float)
    assert isinstance(read_wish({"limits": {"burst": 3}}).limits["burst"], int)


def test_only_what_is_new_and_above_the_ceiling_is_forbidden():
    ceilings = NONE | {"concurrent": 100}
    check_ceilings(Wish({"concurrent": 100, "burst": 999}), NONE, ceilings)
    check_ceilings(Wish({"concurrent": None}), NONE | {"concurrent": 500}, ceilings)
    # An administrator allowed it: the owner may send it back along with the rest.
    check_ceilings(Wish({"concurrent": 500}), NONE | {"concurrent": 500}, ceilings)
    with pytest.raises(Forbidden, match="'concurrent' can be at most 100;"):
        check_ceilings(Wish({"concurrent": 101}), NONE, ceilings)


def test_what_holds_is_the_apps_own_or_else_the_platforms():
    assert in_force(NONE, PLATFORM) == PLATFORM
    assert in_force(NONE | {"concurrent": 5}, PLATFORM)["concurrent"] == 5


@pytest.mark.parametrize(
    ("rate", "burst", "wanted"), [(2.5, None, 2), (0.1, None, 1), (2.5, 9, 9), (None, 9, None)]
)
def test_a_burst_comes_with_a_rate(rate, burst, wanted):
    assert in_force(NONE | {"rate": rate, "burst": burst}, PLATFORM)["burst"] == wanted
