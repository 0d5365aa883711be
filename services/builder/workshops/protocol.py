"""What a workshop is: a few coroutines that make what its engine runs."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Protocol

from services.builder.detect import Plan
from services.builder.interpreters import Interpreter, PythonRequest
from services.builder.jobs import Job, Wanted


class Environment(Protocol):
    """Installed dependencies, known by the digest of everything that they depend on."""

    @property
    def digest(self) -> str: ...

    @property
    def interpreter(self) -> Interpreter: ...

    def has(self, distribution: str) -> bool:
        """Is it installed? Names are compared as PEP 503 has it."""
        ...

    def modules_of(self, distributions: Iterable[str]) -> set[str]:
        """The modules that these distributions install at the top level."""
        ...


class Workshop(Protocol):
    """Every method raises `Invalid` with the sentence that the pusher reads."""

    async def interpreter(self, request: PythonRequest | None) -> Interpreter:
        """The Python for what an app asks for."""
        ...

    async def check_syntax(self, interpreter: Interpreter, code: Path, file: str) -> None:
        """See that a file of the app is valid for its Python."""
        ...

    async def environment(self, wanted: Wanted, job: Job) -> Environment:
        """The environment for `wanted`, made now unless it is there."""
        ...

    async def warm(self, environment: Environment, modules: set[str], job: Job) -> None:
        """Have bytecode ready for those of `modules` that the environment has."""
        ...

    async def image(
        self, code: Path, plan: Plan, source: str, environment: Environment, job: Job
    ) -> str:
        """Make an image of the folder `code`, which may be moved; its digest."""
        ...

    async def attempts(self) -> set[str]:
        """Names of the jobs that have something here which is not finished."""
        ...

    async def clear(self, attempts: set[str]) -> None:
        """Remove what these have left."""
        ...


def manifest_of(plan: Plan, source: str, environment: Environment) -> dict[str, Any]:
    """What an engine has to know to run the app."""
    framework = plan.framework
    return {
        "kind": framework.kind,
        "environment": environment.digest,
        "source": source,
        "process_types": plan.process_types,
        "health": framework.health.document(),
        "prefix_mode": framework.prefix_mode,
        "prefix_env": framework.prefix_env,
        "sticky": framework.sticky,
        "python": environment.interpreter.minor,
    }
