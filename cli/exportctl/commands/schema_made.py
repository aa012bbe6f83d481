"""For developers: the JSON Schema of the lines, made from their types by pydantic, which no command imports.

One definition for each event, whole by itself: a consumer ignores what it does not know, so further keys are allowed
everywhere, and a line of an event that came later is only held to the keys that every line has.
"""

import json
from dataclasses import make_dataclass
from functools import cache
from types import UnionType
from typing import Annotated, Any, Final, Union, get_args, get_origin, get_type_hints

from msgspec import Struct
from pydantic import TypeAdapter

from exportctl.model import lines
from exportctl.model.encoding import ABSENT_WHEN_NONE, HEADER, camel
from exportctl.model.lines import SCHEMA_ID, SCHEMA_VERSION, Line, Numbered

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
OTHER: Final = "later"
_Schema = dict[str, Any]


def kinds() -> dict[str, list[type[Line]]]:
    """Return the classes of lines by their event, in the order in which they are declared."""
    found: dict[str, list[type[Line]]] = {}
    for thing in vars(lines).values():
        if isinstance(thing, type) and issubclass(thing, Line) and hasattr(thing, "event"):
            found.setdefault(thing.event, []).append(thing)
    return found


def schema() -> _Schema:
    """Return the schema of every line."""
    by_event = kinds()
    parts: dict[str, _Schema] = {}
    events = {event: _event(event, classes, parts) for event, classes in by_event.items()}
    later = {
        "title": OTHER,
        "description": "An event of a later version: to be ignored.",
        "type": "object",
        "required": list(HEADER),
        "properties": {**_header(parts), "event": {"type": "string", "not": {"enum": list(by_event)}}},
    }
    return {
        "$schema": DIALECT,
        "$id": SCHEMA_ID,
        "title": "A line of exportctl",
        "description": (
            "One line of NDJSON, as --ndjson and --events write it. Keys and events are added within a version, never "
            "renamed or removed: ignore those that you do not know."
        ),
        "oneOf": [*({"$ref": f"#/$defs/{event}"} for event in events), {"$ref": f"#/$defs/{OTHER}"}],
        "$defs": {**events, OTHER: later, **dict(sorted(parts.items()))},
    }


def text() -> str:
    """Return the schema as the file that is shipped."""
    return json.dumps(schema(), ensure_ascii=False, indent=2) + "\n"


def _event(event: str, classes: list[type[Line]], parts: dict[str, _Schema]) -> _Schema:
    """Return the schema of one event; what only some of its classes have comes together or not at all."""
    own = [_own(kind, parts) for kind in classes]
    merged = {key: rules for keys in own for key, rules in keys.items()}
    for key in merged.keys() & set(ABSENT_WHEN_NONE):
        merged[key] = {**merged[key], "type": merged[key]["type"][0]}
    always = [key for key in own[0] if key not in ABSENT_WHEN_NONE]
    sometimes = [key for key in merged if key not in own[0]]
    found: _Schema = {
        "title": event,
        "description": _said(classes[0]),
        "type": "object",
        "required": [*HEADER, *always],
        "properties": {**_header(parts), "event": {"const": event}, **merged},
    }
    if sometimes:
        found["dependentRequired"] = {key: [other for other in sometimes if other != key] for key in sometimes}
    return found


def _header(parts: dict[str, _Schema]) -> _Schema:
    known: _Schema = {"v": {"const": SCHEMA_VERSION}, **_properties(Numbered, parts), **_properties(Line, parts)}
    known |= {"timestamp": _properties(Numbered, parts)["timestamp"], "event": {"type": "string"}}
    return {key: known[key] for key in HEADER}


def _own(kind: type[Line], parts: dict[str, _Schema]) -> _Schema:
    names = map(camel, kind.__struct_fields__)
    properties = _properties(kind, parts)
    return {name: properties[name] for name in names if name not in HEADER}


def _properties(kind: type, parts: dict[str, _Schema]) -> _Schema:
    made = TypeAdapter(_twin(kind)).json_schema(mode="serialization", ref_template="#/$defs/{model}")
    for name, part in made.get("$defs", {}).items():
        if name != "Line":
            parts[name] = _plain(part)
    return {camel(name): _plain(rules) for name, rules in made["properties"].items()}


@cache
def _twin(hint: Any) -> Any:
    """Return the type with dataclasses, which pydantic reads, in place of msgspec's records."""
    if get_origin(hint) is Annotated:
        inner, *said = get_args(hint)
        return Annotated[_twin(inner), *said]
    if get_origin(hint) in {Union, UnionType}:
        return Union[*map(_twin, get_args(hint))]
    if not (isinstance(hint, type) and issubclass(hint, Struct)):
        return hint
    hints = get_type_hints(hint, include_extras=True)
    pairs = [(name, _twin(hints[name])) for name in hint.__struct_fields__]
    return make_dataclass(hint.__name__, pairs, kw_only=True, namespace={"__doc__": hint.__doc__})


def _plain(found: _Schema) -> _Schema:
    """Return a schema in the wire's spelling: no defaults, since every key is there, and null beside one type."""
    schema = {key: value for key, value in found.items() if key not in {"default", "title"}}
    if isinstance(schema.get("additionalProperties"), bool):
        del schema["additionalProperties"]  # further keys are allowed everywhere; of values of one type it says which
    if "properties" in schema:
        schema["properties"] = {camel(name): _plain(rules) for name, rules in schema["properties"].items()}
        schema["required"] = list(schema["properties"])
    if "anyOf" in schema:
        choices = [_plain(choice) for choice in schema.pop("anyOf")]
        if all(set(choice) <= {"type"} for choice in choices):
            schema = {"type": [choice["type"] for choice in choices], **schema}
        elif len(choices) == 2 and choices[1] == {"type": "null"} and "$ref" not in choices[0]:  # noqa: PLR2004 - a pair
            schema = {**choices[0], "type": [choices[0]["type"], "null"], **schema}
        else:
            schema["anyOf"] = choices
    return schema


def _said(kind: type) -> str:
    return " ".join((kind.__doc__ or "").split())
