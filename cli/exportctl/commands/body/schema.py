"""The schema as it was shipped, whole or of one event."""

import json
from pathlib import Path
from typing import Any

import exportctl
from exportctl.model.lines import SCHEMA_ID, SCHEMA_VERSION
from exportctl.startup.answers import say

FILE = Path(exportctl.__file__).parent / "model" / "line.schema.json"


def schema(name: str, *, version: bool) -> int:
    """Print it, and return the exit status."""
    if version:
        return say(f"{SCHEMA_VERSION}\n")
    text = FILE.read_text("utf-8")
    return say(text if name == "line" else json.dumps(of_event(json.loads(text), name), indent=2) + "\n")


def of_event(whole: dict[str, Any], name: str) -> dict[str, Any]:
    """Return the schema of one event, with the parts that it needs and an id of its own."""
    parts = whole["$defs"]
    needed: dict[str, Any] = {}
    _gather(parts[name], parts, needed)
    own_id = SCHEMA_ID.replace("line.json", f"{name}.json")
    return {"$schema": whole["$schema"], "$id": own_id, **parts[name], "$defs": needed}


def _gather(found: object, parts: dict[str, Any], needed: dict[str, Any]) -> None:
    if isinstance(found, dict):
        name = str(found.get("$ref", "")).rpartition("/")[2]
        if name and name not in needed:
            needed[name] = parts[name]
            _gather(parts[name], parts, needed)
        for value in found.values():
            _gather(value, parts, needed)
    elif isinstance(found, list):
        for value in found:
            _gather(value, parts, needed)
