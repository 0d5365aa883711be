"""Small apps to push. The quick one needs one small package; the others are what data people write."""

FLASK = """\
import os, time
from flask import Flask, request

app = Flask(__name__)
VERSION = "{version}"

@app.get("/")
def index():
    return dict(version=VERSION, user=request.headers.get("X-Moorage-User"),
                root=request.script_root, greeting=os.environ.get("GREETING"),
                secret=os.environ.get("API_KEY"), cookie=request.headers.get("Cookie"),
                authorization=request.headers.get("Authorization"))

@app.get("/slow")
def slow():
    time.sleep(float(request.args.get("seconds", 2)))
    return dict(version=VERSION)

@app.get("/environment")
def environment():
    return dict(os.environ)
"""

DASH = """\
import os
from dash import Dash, Input, Output, dcc, html

app = Dash(__name__)
server = app.server
VERSION = "{version}"
app.layout = html.Div([
    html.H1("Version " + VERSION, id="title"),
    dcc.Input(id="name", value="world"),
    html.Div(id="greeting"),
])

@app.callback(Output("greeting", "children"), Input("name", "value"))
def greet(name):
    return f"Hello, {{name}}, from {{VERSION}}"

@server.get(os.environ.get("DASH_URL_BASE_PATHNAME", "/") + "version")
def version():
    return VERSION
"""


def flask_app(version: str = "1") -> dict[str, str]:
    return {"app.py": FLASK.format(version=version), "requirements.txt": "flask==3.1.3\n"}


def dash_app(version: str = "1") -> dict[str, str]:
    return {"app.py": DASH.format(version=version), "requirements.txt": "dash==4.4.1\n"}
