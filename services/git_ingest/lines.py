"""Lines for the pusher's terminal: made harmless before they are shown."""

import re
import unicodedata

LONGEST_LINE = 2000

# CSI sequences (colours, cursor), OSC and the other string sequences, and two-character escapes:
# ECMA-48, sections 5.3 to 5.6.
_ESCAPES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"
    r"|\x1b[\]PX^_].*?(?:\x07|\x1b\\|$)"
    r"|\x1b[ -/]*[0-~]?",
    re.DOTALL,
)


def clean_lines(text: str) -> list[str]:
    """The lines of `text` without escape sequences, control characters and direction overrides.

    A line that a program wrote over with carriage returns is shown as it looked in the end.
    """
    shown = _ESCAPES.sub("", text).replace("\r\n", "\n").rstrip("\n")
    return [_clean(line.rstrip("\r").rpartition("\r")[2]) for line in shown.split("\n")]


def clean_line(text: str) -> str:
    """All of `text` as one harmless line."""
    return " ".join(line for line in clean_lines(text) if line)[:LONGEST_LINE]


def _clean(line: str) -> str:
    kept = "".join(char for char in line[: LONGEST_LINE + 1] if char == "\t" or _harmless(char))
    return kept if len(kept) <= LONGEST_LINE else kept[:LONGEST_LINE] + "..."


def _harmless(char: str) -> bool:
    """False for controls (Cc), direction overrides and the like (Cf), lone surrogates (Cs)."""
    return unicodedata.category(char) not in ("Cc", "Cf", "Cs", "Zl", "Zp")
