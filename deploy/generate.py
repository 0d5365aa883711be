"""`make generate`: writes what is derived from the code, so that it cannot disagree with it.

- `docs/reference/asyncapi.json` and `docs/reference/events.md` from the catalogue of events,
- `services/portal/openapi.json`, one document of all services' APIs, which the portal serves.

A unit test runs the same functions and compares.
"""

import importlib
import json
from pathlib import Path
from typing import Any

from shared.events.catalogue import BUCKETS, CALLS, CATALOGUE

ROOT = Path(__file__).resolve().parents[1]
SERVICES_WITH_API = ("auth", "portal", "builder", "scheduler", "secrets", "router")


def asyncapi() -> dict[str, Any]:
    """The catalogue as an AsyncAPI 3.0.0 document."""
    channels: dict[str, Any] = {}
    operations: dict[str, Any] = {}
    messages: dict[str, Any] = {}
    for entry in CATALOGUE:
        name = entry.model.TYPE
        messages[name] = {
            "name": name,
            "contentType": "application/cloudevents+json",
            "summary": summary(entry.model),
            "payload": entry.model.model_json_schema(),
        }
        channels[name] = {
            "address": f"evt.{name}.{{app}}",
            "parameters": {"app": {"description": "The app that the event concerns."}},
            "messages": {name: {"$ref": f"#/components/messages/{name}"}},
        }
        channel = {"$ref": f"#/channels/{name}"}
        operations[f"{entry.publisher}.publishes.{name}"] = {"action": "send", "channel": channel}
        for listener in entry.listeners:
            operations[f"{listener}.hears.{name}"] = {"action": "receive", "channel": channel}
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "Moorage events", "version": "1"},
        "channels": channels,
        "operations": operations,
        "components": {"messages": messages},
    }


def events_page() -> str:
    """The catalogue as a page for people."""
    rows = [
        f"| `{entry.model.TYPE}` | {entry.publisher} | {', '.join(entry.listeners)} |"
        f" {', '.join(f'`{name}`' for name in entry.model.model_fields)} |"
        f" {summary(entry.model)} |"
        for entry in CATALOGUE
    ]
    calls = [f"| `{c.name}` | {', '.join(c.asked_by)} | {c.answered_by} |" for c in CALLS]
    buckets = [f"| `{b.name}` | {', '.join(b.writers)} | {', '.join(b.readers)} |" for b in BUCKETS]
    return "\n".join(
        [
            "# Events, calls and buckets",
            "",
            "Generated from `shared/events/catalogue.py` by `make generate`. The machine-readable",
            "form is [asyncapi.json](asyncapi.json). Every event is a CloudEvents 1.0 envelope in",
            "structured JSON on the subject `evt.<type>.<app>`; the columns after the type say who",
            "alone may publish it and who hears it. The NATS permissions of each process come from",
            "the same catalogue.",
            "",
            "| event | published by | heard by | data | meaning |",
            "|---|---|---|---|---|",
            *rows,
            "",
            "## Calls",
            "",
            "The edges on which one service asks another and waits, because a person waits.",
            "",
            "| call | asked by | answered by |",
            "|---|---|---|",
            *calls,
            "",
            "## Buckets",
            "",
            "Copies of what lies in the writer's database, for readers that must not depend on it.",
            "",
            "| bucket | written by | read by |",
            "|---|---|---|",
            *buckets,
            "",
        ]
    )


def summary(model: type) -> str:
    """The first sentence of a model's own docstring, on one line."""
    text = model.__dict__.get("__doc__") or ""
    return " ".join(text.split("\n\n")[0].split())


def openapi() -> dict[str, Any]:
    """One OpenAPI document, merged of what each service says of its own API."""
    merged: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {"title": "Moorage", "version": "1"},
        "paths": {},
        "components": {"schemas": {}},
    }
    for service in SERVICES_WITH_API:
        own = importlib.import_module(f"services.{service}.api").openapi()
        for path, operations in own["paths"].items():
            merged["paths"].setdefault(path, {}).update(operations)
        merged["components"]["schemas"].update(own.get("components", {}).get("schemas", {}))
    return merged


def documents() -> dict[Path, str]:
    """Every generated file and what has to be in it."""
    return {
        ROOT / "docs/reference/asyncapi.json": _json(asyncapi()),
        ROOT / "docs/reference/events.md": events_page(),
        ROOT / "services/portal/openapi.json": _json(openapi()),
    }


def _json(document: dict[str, Any]) -> str:
    return json.dumps(document, indent=2, sort_keys=True) + "\n"


def main() -> None:
    for path, text in documents().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        print(path.relative_to(ROOT))


if __name__ == "__main__":
    main()
