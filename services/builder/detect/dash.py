"""Dash: a WSGI server object, `app.server`, under whatever name the code gives it.

Dash answers 200 to any path, so only its own JSON proves that it is up; `_dash-dependencies` is
answered without running the app's layout function, which may ask a database or who is looking.
"""

from services.builder.detect.code import Code, Module
from services.builder.detect.plan import Candidate, Framework, Health
from services.builder.detect.servers import gunicorn

FRAMEWORK = Framework(
    kind="dash",
    title="Dash",
    distribution="dash",
    prefix_mode="keep",
    prefix_env={"DASH_URL_BASE_PATHNAME": "/{app}/", "FORWARDED_ALLOW_IPS": "*"},
    health=Health("/{app}/_dash-dependencies", status=200, json=True),
    names=("app.py", "main.py", "index.py", "wsgi.py"),
    warm=("dash", "gunicorn.app.wsgiapp", "gunicorn.workers.gthread"),
)

CLASSES = (
    "dash.Dash",
    "dash.dash.Dash",
    "dash_extensions.enrich.DashProxy",
    "dash_extensions.enrich.Dash",
    "jupyter_dash.JupyterDash",
)
SHIM = "moorage_wsgi"


def candidates(code: Code) -> list[Candidate]:
    """Files that make a Dash app, or that lay out one which another file makes."""
    return [found for module in code.modules.values() if (found := _candidate(code, module))]


def misplaced(code: Code) -> str | None:
    """A sentence for a Dash app that no server can reach, because a function holds it."""
    for module in code.modules.values():
        if module.nested_calls & set(CLASSES):
            return (
                f"{module.file} makes its Dash app inside a function or under 'if __name__', where "
                "a server cannot find it: make it at the top level, and write "
                "'server = app.server' below it."
            )
    return None


def _candidate(code: Code, module: Module) -> Candidate | None:
    apps = [*module.made_by(*CLASSES), *_imported_apps(code, module)]
    server = _server(code, module, apps)
    if not apps and not (server and module.imports_package("dash")):
        return None
    if server:
        target = f"{module.name}:{server}"
        return Candidate(
            FRAMEWORK, module.file, f"server: {target}", gunicorn(target), ("gunicorn",)
        )
    return _shimmed(module, "app" if "app" in apps else apps[0])


def _imported_apps(code: Code, module: Module) -> list[str]:
    """Names under which this file lays out a Dash app of another file."""
    found: list[str] = []
    for name, dotted in module.imports.items():
        source, _, original = dotted.rpartition(".")
        other = code.by_name(source)
        if other and original in other.made_by(*CLASSES) and f"{name}.layout" in module.assigned:
            found.append(name)
    return found


def _server(code: Code, module: Module, apps: list[str]) -> str | None:
    """A name of this file that is the WSGI server of its Dash app."""
    names = [name for name, dotted in module.attributes.items() if dotted.endswith(".server")]
    names += [name for name in _given_servers(module) if name not in names]
    for name, dotted in module.imports.items():
        source, _, original = dotted.rpartition(".")
        other = code.by_name(source)
        if apps and other and original in _own_servers(other):
            names.append(name)
    return "server" if "server" in names else (names[0] if names else None)


def _own_servers(module: Module) -> list[str]:
    return [name for name, dotted in module.attributes.items() if dotted.endswith(".server")]


def _given_servers(module: Module) -> list[str]:
    """Names passed as in `Dash(__name__, server=flask_app)`."""
    found: list[str] = []
    for app in module.made_by(*CLASSES):
        for keyword in module.calls[app].keywords:
            name = getattr(keyword.value, "id", None)
            if keyword.arg == "server" and isinstance(name, str):
                found.append(name)
    return found


def _shimmed(module: Module, app: str) -> Candidate:
    """gunicorn takes a name and no dotted attribute, and older Dash objects cannot be called."""
    text = (
        '"""Written by the platform: the server of a Dash app that gives it no name."""\n\n'
        f"from {module.name} import {app}\n\nserver = {app}.server\n"
    )
    return Candidate(
        FRAMEWORK,
        module.file,
        f"server: {module.name}:{app}.server",
        gunicorn(f"{SHIM}:server"),
        ("gunicorn",),
        {f"{SHIM}.py": text},
    )
