"""Python files as detection sees them: parsed into what happens when they are imported.

Nothing is ever imported or run. Only statements at module level count, those under `if`, `try` and
`with` included, except what stands under `if __name__ == "__main__"`: a server that imports the
file does not run that.
"""

import ast
import warnings
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from shared.names import printable

LARGEST_FILE = 1_000_000
MOST_FILES = 200
IGNORED = ("setup.py", "conftest.py", "noxfile.py", "fabfile.py", "tasks.py")


@dataclass
class Module:
    """One file: `imports` maps each local name to the dotted thing it stands for."""

    file: str
    imports: dict[str, str] = field(default_factory=dict[str, str])
    packages: set[str] = field(default_factory=set[str])
    """Everything imported anywhere in the file, dotted."""
    calls: dict[str, ast.Call] = field(default_factory=dict[str, ast.Call])
    """Names bound to the result of a call at module level."""
    attributes: dict[str, str] = field(default_factory=dict[str, str])
    """Names bound to an attribute at module level, as in `server = app.server`: "app.server"."""
    assigned: set[str] = field(default_factory=set[str])
    """Attributes that are set at module level, as in `app.layout = ...`: "app.layout"."""
    nested_calls: set[str] = field(default_factory=set[str])
    """Dotted names of everything called anywhere in the file."""

    @property
    def name(self) -> str:
        return self.file.removesuffix(".py")

    def resolve(self, node: ast.expr) -> str:
        """The dotted thing that an expression names, through this file's imports; "" for none."""
        dotted = _dotted(node)
        head, _, rest = dotted.partition(".")
        whole = self.imports.get(head, head)
        return f"{whole}.{rest}" if rest else whole

    def imports_package(self, package: str) -> bool:
        return any(name == package or name.startswith(package + ".") for name in self.packages)

    def made_by(self, *classes: str) -> list[str]:
        """Names bound at module level to a call of one of these dotted names, in order."""
        return [name for name, call in self.calls.items() if self.resolve(call.func) in classes]


@dataclass(frozen=True)
class Code:
    """The top-level Python files of a repository, those that parse."""

    folder: Path
    modules: dict[str, Module]
    """By file name."""
    broken: dict[str, str] = field(default_factory=dict[str, str])
    """Files that do not parse, each with the sentence that says why."""

    def by_name(self, name: str) -> Module | None:
        return self.modules.get(name + ".py")

    def local_imports(self, module: Module) -> set[str]:
        """Names of the top-level modules of this repository that `module` imports."""
        heads = {dotted.partition(".")[0] for dotted in module.packages}
        return {head for head in heads if head + ".py" in self.modules} - {module.name}


def read_code(folder: Path) -> Code:
    """Parse the top-level Python files of `folder`."""
    files = [path for path in sorted(folder.glob("*.py")) if _counts(path)]
    code = Code(folder, {})
    for path in files[:MOST_FILES]:
        try:
            tree = _parse(path)
        except SyntaxError as error:
            code.broken[path.name] = syntax_sentence(path.name, error.lineno, error.text, error.msg)
            continue
        if tree is not None:
            code.modules[path.name] = _read(path.name, tree)
    return code


def syntax_sentence(file: str, line: int | None, text: str | None, what: str) -> str:
    """One sentence for a syntax error."""
    shown = f" ('{printable(text.strip(), 120)}')" if text and text.strip() else ""
    return f"{file} line {line or 1}{shown} is not valid Python: {what}; correct it and push again."


def imported_names(folder: Path) -> set[str]:
    """Every dotted name that any Python file of the repository imports."""
    found: set[str] = set()
    for count, path in enumerate(sorted(folder.rglob("*.py"))):
        if count == MOST_FILES:
            break
        with suppress(SyntaxError):
            tree = _parse(path) if path.is_file() else None
            found |= _packages(tree) if tree else set()
    return found


def _counts(path: Path) -> bool:
    if path.name in IGNORED or path.name.startswith("test_") or path.name.endswith("_test.py"):
        return False
    return path.is_file()


def _parse(path: Path) -> ast.Module | None:
    """The file's tree, None when it is too large or cannot be read. Raises `SyntaxError`."""
    try:
        if path.stat().st_size > LARGEST_FILE:
            return None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(path.read_bytes())
    except (ValueError, RecursionError, MemoryError, OSError):
        return None


def _read(file: str, tree: ast.Module) -> Module:
    module = Module(file, packages=_packages(tree))
    for statement in _at_import(tree.body):
        _take_in(module, statement)
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            module.nested_calls.add(module.resolve(node.func))
    return module


def _at_import(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    for statement in body:
        if isinstance(statement, ast.If) and _is_main(statement.test):
            yield from _at_import(statement.orelse)
            continue
        yield statement
        if isinstance(statement, (ast.If, ast.Try, ast.With)):
            for name in ("body", "orelse", "finalbody"):
                yield from _at_import(getattr(statement, name, []))
            for handler in getattr(statement, "handlers", []):
                yield from _at_import(handler.body)


def _is_main(test: ast.expr) -> bool:
    return any(isinstance(node, ast.Name) and node.id == "__name__" for node in ast.walk(test))


def _take_in(module: Module, statement: ast.stmt) -> None:
    if isinstance(statement, ast.Import):
        for alias in statement.names:
            head = alias.name.partition(".")[0]
            module.imports[alias.asname or head] = alias.name if alias.asname else head
    elif isinstance(statement, ast.ImportFrom) and statement.module:
        for alias in statement.names:
            module.imports[alias.asname or alias.name] = f"{statement.module}.{alias.name}"
    elif isinstance(statement, ast.Assign):
        for target in statement.targets:
            _bind(module, target, statement.value)
    elif isinstance(statement, ast.AnnAssign) and statement.value:
        _bind(module, statement.target, statement.value)


def _bind(module: Module, target: ast.expr, value: ast.expr) -> None:
    if isinstance(target, ast.Attribute):
        module.assigned.add(_dotted(target))
    elif isinstance(target, ast.Name):
        module.calls.pop(target.id, None)
        module.attributes.pop(target.id, None)
        if isinstance(value, ast.Call):
            module.calls[target.id] = value
        elif isinstance(value, ast.Attribute) and _dotted(value):
            module.attributes[target.id] = _dotted(value)


def _packages(tree: ast.Module) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module)
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return found


def _dotted(node: ast.expr) -> str:
    """ "a.b.c" for names and attributes of names, "" for anything else."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        return ""
    return ".".join([node.id, *reversed(parts)])
