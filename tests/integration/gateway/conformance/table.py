"""All cases, by their headings."""

from tests.integration.gateway.conformance import headers, hostile, messages, strict
from tests.integration.gateway.conformance.case import Case

TABLE: dict[str, tuple[Case, ...]] = {
    "Connections": messages.CONNECTIONS,
    "Bodies and answers": messages.BODIES,
    "Expect: 100-continue": messages.EXPECTATIONS,
    "Upgrades": messages.UPGRADES,
    "Requests: framing": strict.FRAMING,
    "Requests: chunks": strict.CHUNKS,
    "Requests: header lines": strict.LINES,
    "Requests: the first line, Host and the path": strict.TARGETS,
    "Headers that end here": headers.HOPS,
    "Headers and cookies that are not the sender's to say": headers.FORGED,
    "Hostile answers": hostile.ANSWERS,
}

CASES = {f"{heading}: {case.name}": case for heading, cases in TABLE.items() for case in cases}
