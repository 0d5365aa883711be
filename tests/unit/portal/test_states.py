"""The copy of what runs, the table of handlers, and the API's description."""

from services.portal import api as portal_api
from services.portal.handlers import HANDLERS
from services.portal.states import States
from services.secrets import api as secrets_api
from shared.events.catalogue import heard_by


def test_unknown_app_is_empty_until_the_router_speaks():
    states = States(None)
    assert states.of("sales")["state"] == "empty"
    states.change("sales", {"state": "running", "reason": "", "targets": []})
    assert states.of("sales") == {"state": "running", "reason": ""}
    states.change("sales", None)
    assert states.of("sales")["state"] == "empty"


def test_every_event_for_the_portal_has_a_handler():
    assert HANDLERS.keys() == {entry.model.TYPE for entry in heard_by("portal")}


def test_openapi_parts():
    assert "/-/api/v1/apps/{app}" in portal_api.openapi()["paths"]
    patch = secrets_api.openapi()["paths"]["/-/api/v1/apps/{app}/secrets"]["patch"]
    assert patch["requestBody"]["required"]
    assert [parameter["name"] for parameter in patch["parameters"]] == ["app"]
