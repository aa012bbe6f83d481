"""For developers: the page of the lines, made of their schema."""

from typing import Any, Final

from exportctl.commands.schema_made import OTHER, schema
from exportctl.model.encoding import HEADER

_HEAD: Final = """# The lines of `--ndjson`

Made of the schema by `python -m exportctl.commands.prepare`; `exportctl schema` prints that. One JSON object a line,
each flushed as it is written. Ignore keys and events that you do not know. One-liners: [jq.md](jq.md).
"""


def page() -> str:
    """Return the page: the keys of every line, then those of each event."""
    parts = schema()["$defs"]
    header = parts[OTHER]["properties"]
    text = _HEAD + "\n## Every line\n\n" + _table({key: header[key] for key in HEADER}, parts)
    for event, rules in parts.items():
        if event != OTHER and "event" in rules.get("properties", {}):
            own = {key: value for key, value in rules["properties"].items() if key not in HEADER}
            text += f"\n## `{event}`\n\n{rules['description']}\n\n{_table(own, parts)}"
    for name, rules in parts.items():
        if "event" not in rules.get("properties", {"event": None}) and name != OTHER:
            text += f"\n## {name}\n\n{rules['description']}\n\n{_table(rules['properties'], parts)}"
    return text


def _table(properties: dict[str, Any], parts: dict[str, Any]) -> str:
    rows = [
        f"| `{key}` | {_type(rules, parts)} | {rules.get('description', '')} |\n" for key, rules in properties.items()
    ]
    return "| key | type | meaning |\n|---|---|---|\n" + "".join(rows)


def _type(rules: dict[str, Any], parts: dict[str, Any]) -> str:
    if "$ref" in rules:
        name = rules["$ref"].rpartition("/")[2]
        words = parts[name].get("enum")
        return name if words is None else ", ".join(f"`{word}`" for word in words)
    if "const" in rules:
        return f"`{rules['const']}`"
    if "enum" in rules:
        return ", ".join(f"`{word}`" for word in rules["enum"])
    if "anyOf" in rules:
        return " or ".join(_type(one, parts) for one in rules["anyOf"])
    kind = rules.get("type", "")
    kinds = kind if isinstance(kind, list) else [kind]
    return " or ".join(f"{_type(rules['items'], parts)}s" if one == "array" else one for one in kinds)
