"""What kind of app a repository holds and how it is started, from its files alone."""

import re
from pathlib import Path

from services.builder.detect import custom, dash
from services.builder.detect.code import Code, read_code
from services.builder.detect.frameworks import DETECTORS
from services.builder.detect.plan import Candidate, Framework, Health, Plan
from services.builder.detect.procfile import read_procfile
from services.builder.detect.sessions import with_sessions
from shared.errors import Invalid

__all__ = ["Framework", "Health", "Plan", "detect"]

SERVERS = ("gunicorn", "uvicorn")
_WORD = re.compile(r"[^\s\"'=;&|()]+")


def detect(folder: Path) -> Plan:
    """How to run what lies in `folder`.

    Raises `Invalid` with one sentence when there is no app, or more than one.
    """
    types = read_procfile(folder)
    code = read_code(folder)
    found = _candidates(code)
    plan = _from_procfile(types, code, found) if types else _from_candidate(_choose(code, found))
    return with_sessions(plan, code, _words(plan.process_types["web"]))


def _candidates(code: Code) -> list[Candidate]:
    """At most one candidate for each file."""
    by_file: dict[str, Candidate] = {}
    for detector in DETECTORS:
        for candidate in detector.candidates(code):
            by_file.setdefault(candidate.file, candidate)
    return list(by_file.values())


def _choose(code: Code, found: list[Candidate]) -> Candidate:
    for file, sentence in code.broken.items():
        if not found or any(file in detector.FRAMEWORK.names for detector in DETECTORS):
            raise Invalid(sentence)
    roots = _not_imported(code, found)
    if not roots:
        raise Invalid(dash.misplaced(code) or _nothing(code))
    if len({candidate.framework.kind for candidate in roots}) > 1:
        raise Invalid(_undecided(sorted(roots, key=_rank)))
    ranked = sorted(roots, key=_rank)
    if len(ranked) > 1 and _rank(ranked[0])[0] == _rank(ranked[1])[0]:
        raise Invalid(_undecided(ranked))
    return ranked[0]


def _not_imported(code: Code, found: list[Candidate]) -> list[Candidate]:
    """Drop what another candidate imports: the app is the file that nobody needs.

    Where candidates import each other in a circle, all of them stay.
    """
    imported: set[str] = set()
    for candidate in found:
        imported |= code.local_imports(code.modules[candidate.file])
    return [candidate for candidate in found if candidate.module not in imported] or found


def _rank(candidate: Candidate) -> tuple[int, str]:
    names = candidate.framework.names
    place = names.index(candidate.file) if candidate.file in names else len(names)
    return place, candidate.file


def _undecided(ranked: list[Candidate]) -> str:
    first, second = ranked[:2]
    return (
        f"Both {first.file} ({first.framework.title}) and {second.file} ({second.framework.title}) "
        "could be the app: say which in a file named 'Procfile' with one line, as in "
        f"'web: {_shown(first.command)}'."
    )


def _shown(command: str) -> str:
    return command.removeprefix("exec ").partition(" --")[0]


def _nothing(code: Code) -> str:
    if not any(code.folder.glob("*.py")):
        return (
            "There is no Python file at the top of this repository; put your app into app.py "
            "there, or write a Procfile with the line 'web: <command>'."
        )
    return (
        "No Dash, Streamlit, FastAPI or Flask app was found in the Python files at the top of this "
        "repository; put it into app.py, or write a Procfile with the line 'web: <command>'."
    )


def _from_candidate(chosen: Candidate) -> Plan:
    return Plan(
        framework=chosen.framework,
        process_types={"web": chosen.command},
        found=f"{chosen.framework.title} app found in {chosen.file} ({chosen.target})",
        entry=chosen.file,
        servers=chosen.servers,
        extra_files=chosen.extra_files,
    )


def _from_procfile(types: dict[str, str], code: Code, found: list[Candidate]) -> Plan:
    words = _words(types["web"])
    entry = _entry(words, code)
    framework = _framework(words, entry, code, found)
    what = f"{framework.title} app started by the Procfile"
    if framework is custom.FRAMEWORK:
        what = "App started by the Procfile"
    return Plan(
        framework=framework,
        process_types=types,
        found=f"{what} (process types: {', '.join(types)})",
        entry=entry,
        servers=tuple(name for name in SERVERS if name in words),
    )


def _words(command: str) -> list[str]:
    return _WORD.findall(command)


def _entry(words: list[str], code: Code) -> str | None:
    """The file that a command names: "app.py", "app:server", "-m app"."""
    for word in words:
        name = word.partition(":")[0].removeprefix("./").removesuffix(".py")
        if name not in SERVERS and (code.folder / f"{name}.py").is_file():
            return f"{name}.py"
    return None


def _framework(
    words: list[str], entry: str | None, code: Code, found: list[Candidate]
) -> Framework:
    """What the command's own file is; else what the repository is, if there is no doubt."""
    for candidate in found:
        if candidate.file == entry:
            return candidate.framework
    for detector in DETECTORS:
        if detector.FRAMEWORK.kind in words:
            return detector.FRAMEWORK
    kinds = {candidate.framework.kind: candidate.framework for candidate in found}
    if len(kinds) == 1:
        return next(iter(kinds.values()))
    module = code.modules.get(entry or "")
    for detector in DETECTORS:
        if module and module.imports_package(detector.FRAMEWORK.kind):
            return detector.FRAMEWORK
    return custom.FRAMEWORK
