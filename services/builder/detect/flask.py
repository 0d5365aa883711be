"""Flask: WSGI; gunicorn reads the prefix from SCRIPT_NAME and takes it off the path."""

from services.builder.detect.code import Code, Module
from services.builder.detect.plan import Candidate, Framework, Health
from services.builder.detect.servers import gunicorn

FRAMEWORK = Framework(
    kind="flask",
    title="Flask",
    distribution="flask",
    prefix_mode="keep",
    prefix_env={"SCRIPT_NAME": "/{app}", "FORWARDED_ALLOW_IPS": "*"},
    health=Health("/{app}/"),
    names=("app.py", "main.py", "wsgi.py", "server.py", "index.py"),
    warm=("flask", "gunicorn.app.wsgiapp", "gunicorn.workers.gthread"),
)

CLASSES = ("flask.Flask", "flask.app.Flask")
FACTORIES = ("create_app", "make_app")


def candidates(code: Code) -> list[Candidate]:
    """Files that make a Flask app, or that call the usual factory, at module level."""
    return [found for module in code.modules.values() if (found := _candidate(module))]


def _candidate(module: Module) -> Candidate | None:
    names = module.made_by(*CLASSES)
    names += [name for name, call in module.calls.items() if _is_factory(module, call.func)]
    if not names:
        return None
    name = next((best for best in ("app", "application", "server") if best in names), names[0])
    target = f"{module.name}:{name}"
    return Candidate(FRAMEWORK, module.file, f"app: {target}", gunicorn(target), ("gunicorn",))


def _is_factory(module: Module, called: object) -> bool:
    dotted = module.resolve(called)  # type: ignore[arg-type]
    return dotted.rpartition(".")[2] in FACTORIES
