"""FastAPI: ASGI; uvicorn puts the root path before the path itself, so the prefix is stripped."""

from services.builder.detect.code import Code, Module
from services.builder.detect.plan import Candidate, Framework, Health
from services.builder.detect.servers import uvicorn

FRAMEWORK = Framework(
    kind="fastapi",
    title="FastAPI",
    distribution="fastapi",
    prefix_mode="strip",
    prefix_env={"UVICORN_ROOT_PATH": "/{app}", "FORWARDED_ALLOW_IPS": "*"},
    # Its documentation pages can be switched off; an answer below 500 is all that is certain.
    health=Health("/"),
    names=("app.py", "main.py", "api.py", "server.py", "index.py"),
    warm=("fastapi", "uvicorn.main", "uvicorn.protocols.http.auto", "uvicorn.lifespan.on"),
)

CLASSES = ("fastapi.FastAPI", "fastapi.applications.FastAPI")


def candidates(code: Code) -> list[Candidate]:
    """Files that make a FastAPI app at module level."""
    return [found for module in code.modules.values() if (found := _candidate(module))]


def _candidate(module: Module) -> Candidate | None:
    names = module.made_by(*CLASSES)
    if not names:
        return None
    target = f"{module.name}:{'app' if 'app' in names else names[0]}"
    return Candidate(FRAMEWORK, module.file, f"app: {target}", uvicorn(target), ("uvicorn",))
