"""Small apps to push: one needs one small package, the others are what data people write."""

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


LIVE = """\
import asyncio
from fastapi import FastAPI, WebSocket
from fastapi.responses import PlainTextResponse

app = FastAPI()
VERSION = "{version}"

@app.get("/version")
async def version():
    return PlainTextResponse(VERSION)

@app.get("/slow")
async def slow(seconds: float = 2.0):
    await asyncio.sleep(seconds)
    return PlainTextResponse(VERSION)

@app.websocket("/ws")
async def echo(socket: WebSocket):
    await socket.accept()
    while True:
        await socket.send_text(await socket.receive_text())
"""


def live_app(version: str = "1") -> dict[str, str]:
    """Answers quickly, slowly and over a WebSocket."""
    return {
        "app.py": LIVE.format(version=version),
        "requirements.txt": "fastapi==0.165.0\nuvicorn==0.54.0\nwebsockets==17.4\n",
    }
