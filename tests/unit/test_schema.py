"""The schema of the lines: made from the types, shipped, and believed by a validator that is not ours."""

import json
import re
import subprocess
import sys
from pathlib import Path

import jsonschema_rs
import orjson
import pytest

from exportctl.commands import schema_made
from exportctl.commands.body.schema import FILE
from exportctl.commands.schema import Name
from exportctl.model import lines
from schema_of_lines import check, shipped
from unit.test_encoding import TABLE, encode, numbered

ROOT = Path(__file__).parents[2]
CLI = ROOT.parent / "shared" / "CLI.md"
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
RECORDS = [orjson.loads(encode(numbered(line))) for line, _ in TABLE]
VALID = jsonschema_rs.Draft202012Validator(shipped())


def exportctl(*words, **environment):
    return subprocess.run(
        [sys.executable, "-m", "exportctl", *words],
        capture_output=True,
        env={"PATH": "/usr/bin:/bin", **environment},
        timeout=60,
        check=False,
    )


def test_the_shipped_schema_is_what_the_types_say_now():
    assert FILE.read_text("utf-8") == schema_made.text(), "run: python -m exportctl.commands.prepare"


def test_the_schema_is_one_itself():
    jsonschema_rs.meta.validate(shipped())
    assert shipped()["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert shipped()["$id"] == lines.SCHEMA_ID == lines.Hello(version="", command=None, server=None).schema


def test_every_event_of_the_lines_can_be_named_to_the_command():
    assert ["line", *schema_made.kinds()] == [*Name.__args__]


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record["event"])
def test_a_line_of_every_kind_is_valid_and_stays_so_with_more_keys(record):
    check(orjson.dumps(record), formats=False)
    VALID.validate(record)
    VALID.validate({**record, "keyOfALaterVersion": {}})


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record["event"])
def test_no_key_may_be_missing_and_none_may_be_of_another_type(record):
    for key in record:
        if key not in {"serverSeq", "jobCorrelationId", "stages", "bytes", "totalBytes", "bytesPerSecond"}:
            assert not VALID.is_valid({name: value for name, value in record.items() if name != key}), key
        if key not in {"options", "data"}:
            assert not VALID.is_valid({**record, key: {"no": "such type"}}), key


def test_the_bytes_of_a_download_come_together_or_not_at_all():
    record = next(record for record in RECORDS if "totalBytes" in record)
    for key in ("bytes", "totalBytes", "bytesPerSecond"):
        assert not VALID.is_valid({name: value for name, value in record.items() if name != key})


def test_an_event_of_a_later_version_is_let_through_with_the_keys_that_every_line_has():
    record = {**RECORDS[0], "event": "export:paused"}
    VALID.validate(record)
    del record["seq"]
    assert not VALID.is_valid(record)


@pytest.mark.parametrize("name", ["line", "hello", "export:progress", "job", "result"])
def test_the_command_prints_the_schema_of_each_event_whole_by_itself(name):
    ended = exportctl("schema", *([] if name == "line" else [name]), EXPORTCTL_NDJSON="1")
    assert (ended.returncode, ended.stderr) == (0, b"")
    validator = jsonschema_rs.Draft202012Validator(json.loads(ended.stdout))
    for record in RECORDS:
        assert validator.is_valid(record) is (name in {"line", record["event"]})


def test_the_version_of_the_schema_is_that_of_the_lines():
    assert exportctl("schema", "--version").stdout == b"1\n"


def test_an_unknown_name_is_answered_with_the_one_that_was_meant():
    ended = exportctl("schema", "export:progres")
    assert ended.returncode == 2
    assert b"Did you mean export:progress?" in ended.stderr


@pytest.mark.parametrize(
    "words",
    [
        ["run", "x", "--no-such", "--events", "e"],
        ["--events=e", "run"],
        ["rnu", "--events", "e"],
        ["run", "--events", "e", "--ndjson"],
        ["run", "x", "y", "--events", "e"],
        ["status", "j", "--timeout", "soon", "--events", "e"],
        ["run", "sample", "--lang", "klingon", "--events", "e"],
    ],
    ids=" ".join,
)
def test_a_refused_command_line_is_told_in_the_events_file_too(words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ended = exportctl(*words, PYTHONPATH=str(ROOT / "cli"))
    told = [check(line) for line in Path("e").read_bytes().splitlines()]
    assert [line["event"] for line in told] == ["hello", "result"]
    assert told[-1]["exitCode"] == ended.returncode == 2
    assert ended.stdout.count(b"\n") == (2 if "--ndjson" in words else 0)


def test_a_refused_command_line_is_the_news_even_where_its_events_cannot_be_written(tmp_path):
    ended = exportctl("run", "x", "--no-such", "--events", str(tmp_path), "--ndjson")
    assert ended.returncode == 2
    assert b"no such option: --no-such" in ended.stderr
    assert check(ended.stdout.splitlines()[-1])["error"]["code"] == "USAGE"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_example_of_a_line_in_the_documentation_is_one(page):
    for line in re.findall(r'^\s*(\{"v":.*\})$', page.read_text("utf-8"), re.MULTILINE):
        check(line.encode())


@pytest.mark.skipif(not CLI.exists(), reason="the page of the interface is not beside this clone")
def test_every_shortened_example_of_the_interface_s_page_holds_only_keys_and_values_of_the_schema():
    shortened = re.findall(r'^(\{"v":.*)…\}$', CLI.read_text("utf-8"), re.MULTILINE)
    assert shortened
    for line in shortened:
        record = json.loads(line.rstrip(",") + "}")
        rules = shipped()["$defs"][record["event"]]
        assert set(record) <= set(rules["properties"])
        part = {**rules, "required": [], "dependentRequired": {}, "$defs": shipped()["$defs"]}
        jsonschema_rs.Draft202012Validator(part).validate(
            {key: value for key, value in record.items() if key != "stageProgress" or "item" in value}
        )
