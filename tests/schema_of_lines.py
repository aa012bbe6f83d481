"""The shipped schema as the tests hold every line against it: strictly, so that an unnamed key or event fails."""

import copy
from functools import cache
from pathlib import Path

import jsonschema_rs
import orjson

import exportctl

FILE = Path(exportctl.__file__).parent / "model" / "line.schema.json"
BEGINNING = b'{"v":'


@cache
def shipped() -> dict:
    return orjson.loads(FILE.read_bytes())


@cache
def _validators(*, formats: bool) -> dict[str, jsonschema_rs.Draft202012Validator]:
    whole = copy.deepcopy(shipped())
    parts = whole["$defs"]
    for part in parts.values():
        if "properties" in part:
            part["additionalProperties"] = False
    return {
        name: jsonschema_rs.Draft202012Validator({**part, "$defs": parts}, validate_formats=formats)
        for name, part in parts.items()
    }


def check(line: bytes, *, formats: bool = True) -> dict:
    """Return the line that these bytes are; fail where it is none of the schema's."""
    record = orjson.loads(line)
    validator = _validators(formats=formats).get(record.get("event"))
    assert validator is not None, f"the schema names no such event: {line!r}"
    problems = [
        f"{'/'.join(map(str, error.instance_path))}: {error.message}" for error in validator.iter_errors(record)
    ]
    assert not problems, f"{problems} in {line!r}"
    return record


def check_all(text: bytes) -> None:
    """Hold every whole line of a stream against the schema; a stream that begins otherwise is none of lines."""
    if text.startswith(BEGINNING):
        whole, _, _ = text.rpartition(b"\n")
        for line in whole.split(b"\n"):
            check(line)
