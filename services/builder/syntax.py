"""Is the file that will be started valid for the app's own Python? Compiled, never run."""

import json
from pathlib import Path

from services.builder import child
from services.builder.detect.code import syntax_sentence
from services.builder.interpreters import Interpreter
from shared.errors import Invalid

TIMEOUT_SECONDS = 20.0
_COMPILE = """
import json, sys, warnings
warnings.simplefilter("ignore")
path = sys.argv[1]
try:
    with open(path, "rb") as file:
        compile(file.read(), path, "exec", dont_inherit=True)
except SyntaxError as error:
    print(json.dumps([error.lineno, error.text, error.msg]))
except ValueError as error:
    print(json.dumps([None, None, str(error)]))
"""


async def check_syntax(interpreter: Interpreter, folder: Path, file: str) -> None:
    """Raise `Invalid` with file, line and text when `file` does not compile.

    The interpreter is the system's own and not the environment's, whose start-up files are foreign.
    """
    lines: list[str] = []
    await child.run(
        [interpreter.executable, "-I", "-S", "-c", _COMPILE, str(folder / file)],
        env={"LANG": "C.UTF-8"},
        on_line=lines.append,
        timeout=TIMEOUT_SECONDS,
    )
    if lines:
        line, text, what = json.loads(lines[-1])
        raise Invalid(syntax_sentence(file, line, text, what))
