"""What kind of app a repository holds."""

from pathlib import Path

import pytest

from services.builder.detect import detect
from shared.errors import Invalid
from tests.unit.builder.repositories import write

DASH = "from dash import Dash, html\napp = Dash(__name__)\napp.layout = html.Div()\n"
FLASK = "from flask import Flask\napp = Flask(__name__)\n"
FASTAPI = "from fastapi import FastAPI\napi = FastAPI()\n"
STREAMLIT = "import streamlit as st\nst.title('x')\n"


def refusal(folder: Path) -> str:
    with pytest.raises(Invalid) as caught:
        detect(folder)
    assert caught.value.detail.endswith("."), "one sentence"
    return caught.value.detail


class TestDash:
    def test_server_variable(self, tmp_path: Path) -> None:
        plan = detect(write(tmp_path, app__py=DASH + "server = app.server\n"))
        assert plan.framework.kind == "dash"
        assert plan.found == "Dash app found in app.py (server: app:server)"
        assert plan.process_types["web"].startswith("exec python -m gunicorn app:server ")
        assert "--bind ${HOST:-127.0.0.1}:$PORT" in plan.process_types["web"]
        assert (plan.entry, plan.servers, plan.extra_files) == ("app.py", ("gunicorn",), {})

    def test_any_name(self, tmp_path: Path) -> None:
        code = "import dash as d\nboard: d.Dash = d.Dash()\nwsgi = board.server\n"
        assert "gunicorn main:wsgi" in detect(write(tmp_path, main__py=code)).process_types["web"]

    def test_without_a_server_variable_a_shim_names_it(self, tmp_path: Path) -> None:
        plan = detect(write(tmp_path, app__py=DASH))
        assert "gunicorn moorage_wsgi:server" in plan.process_types["web"]
        assert "from app import app\n" in plan.extra_files["moorage_wsgi.py"]

    def test_given_flask_server(self, tmp_path: Path) -> None:
        code = (
            "from flask import Flask\nfrom dash import Dash\n"
            "flask_app = Flask(__name__)\napp = Dash(__name__, server=flask_app)\n"
        )
        plan = detect(write(tmp_path, app__py=code))
        assert plan.framework.kind == "dash"
        assert "gunicorn app:flask_app" in plan.process_types["web"]

    def test_layout_in_another_file(self, tmp_path: Path) -> None:
        app = "import dash\napp = dash.Dash(__name__)\nserver = app.server\n"
        index = "from app import app, server\napp.layout = None\n"
        plan = detect(write(tmp_path, app__py=app, index__py=index))
        assert plan.entry == "index.py"
        assert "gunicorn index:server" in plan.process_types["web"]

    def test_app_from_a_factory(self, tmp_path: Path) -> None:
        code = "import dash\nfrom lib.made import make\napp = make()\nserver = app.server\n"
        assert detect(write(tmp_path, app__py=code)).framework.kind == "dash"

    def test_only_under_main(self, tmp_path: Path) -> None:
        code = (
            "from dash import Dash\nif __name__ == '__main__':\n    app = Dash()\n    app.run()\n"
        )
        assert "server = app.server" in refusal(write(tmp_path, app__py=code))


class TestOthers:
    def test_streamlit(self, tmp_path: Path) -> None:
        plan = detect(write(tmp_path, app__py=STREAMLIT))
        assert (plan.framework.kind, plan.framework.sticky) == ("streamlit", True)
        assert "streamlit run app.py" in plan.process_types["web"]
        assert plan.servers == ()

    def test_streamlit_helper_is_no_app(self, tmp_path: Path) -> None:
        code = "import streamlit as st\nfrom zebra import draw\n"
        plan = detect(write(tmp_path, dashboard__py=code, zebra__py=STREAMLIT))
        assert plan.entry == "dashboard.py"

    def test_flask(self, tmp_path: Path) -> None:
        plan = detect(write(tmp_path, wsgi__py=FLASK))
        assert plan.framework.kind == "flask"
        assert plan.framework.prefix_env["SCRIPT_NAME"] == "/{app}"
        assert "gunicorn wsgi:app" in plan.process_types["web"]

    def test_flask_factory(self, tmp_path: Path) -> None:
        code = "from site_ import create_app\napplication = create_app()\n"
        assert (
            "gunicorn wsgi:application"
            in detect(write(tmp_path, wsgi__py=code)).process_types["web"]
        )

    def test_fastapi(self, tmp_path: Path) -> None:
        plan = detect(write(tmp_path, main__py=FASTAPI))
        assert (plan.framework.kind, plan.framework.prefix_mode) == ("fastapi", "strip")
        assert (
            "uvicorn main:api --host ${HOST:-127.0.0.1} --port $PORT" in plan.process_types["web"]
        )

    def test_tests_and_setup_are_no_apps(self, tmp_path: Path) -> None:
        plan = detect(write(tmp_path, zoo__py=DASH, test_zoo__py=FLASK, setup__py=FLASK))
        assert plan.entry == "zoo.py"


class TestSessions:
    """What keeps a visitor's session in one process asks for visitors to stay with it."""

    @pytest.mark.parametrize(
        ("code", "command"),
        [
            ("from shiny import App, ui\napp = App(ui.page_fluid(), None)\n", "shiny run app.py"),
            ("import panel as pn\npn.panel('x').servable()\n", "panel serve app.py"),
            ("import gradio as gr\ngr.Blocks().launch()\n", "python app.py"),
            ("x = 1\n", "python -m bokeh serve board"),
            ("x = 1\n", "streamlit run pages/start.py"),
        ],
    )
    def test_started_by_a_procfile(self, tmp_path: Path, code: str, command: str) -> None:
        plan = detect(write(tmp_path, app__py=code, Procfile=f"web: {command} --port $PORT\n"))
        assert plan.framework.sticky

    def test_inside_another_app(self, tmp_path: Path) -> None:
        code = FASTAPI + "def mount():\n    import gradio\n"
        plan = detect(write(tmp_path, main__py=code))
        assert (plan.framework.kind, plan.framework.sticky) == ("fastapi", True)

    @pytest.mark.parametrize("code", [DASH, FLASK, FASTAPI, FLASK + "import bokeh.embed\n"])
    def test_others_share_their_visitors(self, tmp_path: Path, code: str) -> None:
        assert not detect(write(tmp_path, app__py=code)).framework.sticky


class TestRefused:
    def test_nothing(self, tmp_path: Path) -> None:
        assert "no Python file" in refusal(write(tmp_path, README="x"))

    def test_no_app(self, tmp_path: Path) -> None:
        assert "No Dash, Streamlit, FastAPI or Flask app" in refusal(write(tmp_path, a__py="x = 1"))

    def test_two_of_a_kind(self, tmp_path: Path) -> None:
        said = refusal(write(tmp_path, one__py=DASH, two__py=DASH + "server = app.server\n"))
        assert "one.py" in said
        assert "two.py" in said
        assert "'web: python -m gunicorn" in said

    def test_two_kinds(self, tmp_path: Path) -> None:
        said = refusal(write(tmp_path, app__py=STREAMLIT, main__py=FASTAPI))
        assert "app.py (Streamlit)" in said
        assert "main.py (FastAPI)" in said

    def test_known_name_decides(self, tmp_path: Path) -> None:
        assert detect(write(tmp_path, app__py=DASH, other__py=DASH)).entry == "app.py"

    def test_syntax_error(self, tmp_path: Path) -> None:
        said = refusal(write(tmp_path, app__py="import dash\napp = dash.Dash(\n"))
        assert said.startswith("app.py line 2 ('app = dash.Dash(') is not valid Python")

    def test_binary_file(self, tmp_path: Path) -> None:
        (tmp_path / "app.py").write_bytes(b"\x00\x01\x02")
        refusal(tmp_path)


class TestProcfile:
    def test_wins_and_knows_the_kind(self, tmp_path: Path) -> None:
        text = "# how to run\nweb: gunicorn other:server\nworker: celery -A jobs worker\n"
        plan = detect(write(tmp_path, Procfile=text, other__py=DASH, app__py=FLASK))
        assert plan.framework.kind == "dash"
        assert plan.process_types == {
            "web": "gunicorn other:server",
            "worker": "celery -A jobs worker",
        }
        assert (plan.servers, plan.entry) == (("gunicorn",), "other.py")

    def test_by_command(self, tmp_path: Path) -> None:
        plan = detect(write(tmp_path, Procfile="web: streamlit run ui/Home.py"))
        assert plan.framework.kind == "streamlit"

    def test_unknown(self, tmp_path: Path) -> None:
        plan = detect(write(tmp_path, Procfile="web: ./server --port $PORT"))
        assert plan.framework.kind == "custom"
        assert plan.framework.prefix_mode == "keep"
        assert "SCRIPT_NAME" not in plan.framework.prefix_env
        assert plan.framework.health.document() == {
            "path": "/{app}/",
            "expect": {"status": None, "contains": None, "json": False},
        }

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("web gunicorn app:server\n", "line 1 has no colon"),
            ("\n\nweb:\n", "line 3 has no command"),
            ("wbe: gunicorn app:server\n", "line 1 says 'wbe': did you mean 'web'?"),
            ("Web: gunicorn app:server\n", "line 1 says 'Web': did you mean 'web'?"),
            ("worker: celery\n", "no 'web' line"),
            ("", "no 'web' line"),
            ("web: a\nweb: b\n", "line 2 names 'web' again (first on line 1)"),
            ("w$b: a\n", "line 1: 'w$b' cannot be a process type"),
        ],
    )
    def test_typo(self, tmp_path: Path, text: str, said: str) -> None:
        assert said in refusal(write(tmp_path, Procfile=text, app__py=DASH))

    def test_misspelt_name(self, tmp_path: Path) -> None:
        assert "rename it to 'Procfile'" in refusal(write(tmp_path, procfile="web: a"))
