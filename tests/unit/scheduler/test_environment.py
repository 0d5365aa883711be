from services.scheduler.config import Config
from services.scheduler.environment import environment_of

ROW = {"instance": "sales.web.7-1", "app": "sales", "release": 3, "port": 20001}


def test_an_instance_learns_its_port_its_prefix_and_its_config():
    found = environment_of(
        ROW,
        {"DASH_URL_BASE_PATHNAME": "/{app}/", "ADDRESS": "{host}:{port}"},
        {"COLOUR": "blue"},
        "http://host:8080",
        "0.0.0.0",
    )
    assert (found["HOST"], found["ADDRESS"]) == ("0.0.0.0", "0.0.0.0:20001")
    assert found["PORT"] == "20001"
    assert found["DASH_URL_BASE_PATHNAME"] == "/sales/"
    assert found["COLOUR"] == "blue"
    assert found["MOORAGE_URL"] == "http://host:8080/sales/"


def test_config_overrides_nothing_of_the_platforms():
    assert environment_of(ROW, {}, {"PORT": "1", "MOORAGE_APP": "x"}, "", "")["PORT"] == "20001"


def test_a_worker_has_no_port():
    assert "PORT" not in environment_of({**ROW, "port": None}, {}, {}, "", "")


def test_config_shows_no_value():
    assert "hunter2" not in repr(Config(1, {"PASSWORD": "hunter2"}))
