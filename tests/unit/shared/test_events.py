"""The catalogue and the envelope."""

import json

import pytest

from shared.errors import Invalid
from shared.events import CATALOGUE, Event, new_event
from shared.events.catalogue import PROCESSES, AppCreated, ConfigChanged, Target, TargetsChanged


def test_an_envelope_survives_the_way_there_and_back():
    data = TargetsChanged(
        app="sales",
        revision=7,
        release=3,
        state="running",
        targets=(Target(instance="sales.web.7-1", address="127.0.0.1:20001"),),
    )
    event = new_event("scheduler", data)
    assert Event.parse(event.to_bytes()) == event


def test_an_envelope_is_a_cloudevent():
    document = json.loads(new_event("portal", AppCreated(app="sales", owner="ada")).to_bytes())
    assert document["specversion"] == "1.0"
    assert document["type"] == "app.created"
    assert document["subject"] == "sales"
    assert {"id", "source", "time", "data"} <= document.keys()


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"not json",
        b"[]",
        b'{"type": "no.such"}',
        b'{"specversion":"1.0","id":"1","source":"x","type":"app.created","subject":"a",'
        b'"time":"2026-01-01T00:00:00+00:00","data":{"app":"a"}}',
    ],
)
def test_what_is_no_event_is_refused_with_a_sentence(raw):
    with pytest.raises(Invalid, match="no event of the catalogue"):
        Event.parse(raw)


def test_unknown_fields_of_a_newer_publisher_are_passed_over():
    document = json.loads(new_event("portal", AppCreated(app="sales", owner="ada")).to_bytes())
    document["data"]["colour"] = "blue"
    assert Event.parse(json.dumps(document).encode()).data.owner == "ada"


def test_every_event_has_one_publisher_and_a_listener_of_the_platform():
    names = [entry.model.TYPE for entry in CATALOGUE]
    assert len(names) == len(set(names))
    for entry in CATALOGUE:
        assert entry.publisher in PROCESSES
        assert entry.listeners
        assert set(entry.listeners) <= set(PROCESSES)


def test_a_config_change_has_no_room_for_values():
    assert set(ConfigChanged.model_fields) == {"app", "version", "names", "actor"}
