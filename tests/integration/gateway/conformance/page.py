"""Writes docs/reference/http-conformance.md from the table of cases:

python -m tests.integration.gateway.conformance.page
"""

from pathlib import Path

from tests.integration.gateway.conformance.case import Case
from tests.integration.gateway.conformance.table import TABLE

PATH = Path(__file__).resolve().parents[4] / "docs/reference/http-conformance.md"

_BEGINNING = """
# HTTP conformance of the gateway

Generated from the cases in `tests/integration/gateway/conformance`, each of which is a conversation
over raw sockets that the tests hold with the gateway and with nginx (Debian 12's 1.22, set up as
its manual says for an app server, with buffering off). Requests that parsers disagree about are
refused, not repaired: what one of them takes for a body, another may take for a request.

**Client** is what the client sees: the status of each answer, *cut* behind one that breaks off, and
*closed* or *reset* if the connection ends with it; otherwise one more request on the connection got
its own answer. **App** is what the app sees: how many requests, and *cut* behind a request whose
body breaks off. **nginx** says where its verdict differs; *desynced* means that a further request
on the connection did not get its own answer, *garbled* that what came was not HTTP/1.
"""


def page() -> str:
    lines = [_BEGINNING.strip(), ""]
    for heading, cases in TABLE.items():
        lines += [f"## {heading}", "", "| | client | app | nginx |", "|---|---|---|---|"]
        lines += [_row(case) for case in cases]
        lines.append("")
    return "\n".join(lines)


def _row(case: Case) -> str:
    name = case.name[0].upper() + case.name[1:] if case.name[:1].isalpha() else f"`{case.name}`"
    return f"| {name} | {case.says} | {_counted(case.app)} | {_nginx(case)} |"


def _counted(app: tuple[str, ...]) -> str:
    """Such as "nothing", "1 request", "2 requests", "1 request, cut"."""
    if not app:
        return "nothing"
    if app == ("not HTTP",):
        return "not HTTP"
    number = "1 request" if len(app) == 1 else f"{len(app)} requests"
    return number + (", cut" if app[-1].endswith(" cut") else "")


def _nginx(case: Case) -> str:
    other = case.nginx
    if other is None:
        return "the same"
    words = [] if other.says in (None, case.says) else [f"**{other.says}**"]
    if other.app is not None and _counted(other.app) != _counted(case.app):
        words.append(f"app: {_counted(other.app)}")
    return " · ".join([*words, other.why])


if __name__ == "__main__":
    PATH.write_text(page())
    print(PATH)
