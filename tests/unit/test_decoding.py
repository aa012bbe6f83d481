"""Lines are read as they were written; whatever else stands in a file ends nothing."""

from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exportctl.model.decoding import decode
from exportctl.model.encoding import encode
from exportctl.model.lines import ExportProgress, Result
from unit.test_encoding import ANYTHING, TABLE, numbered

RECORDINGS = sorted((Path(__file__).parents[1] / "recordings").glob("*.ndjson"))


@pytest.mark.parametrize("line", [line for line, _ in TABLE], ids=lambda line: type(line).__name__)
def test_a_line_is_read_as_it_was_written(line):
    written = encode(numbered(line))
    assert encode(decode(written)) == written


@pytest.mark.parametrize("path", RECORDINGS, ids=lambda path: path.name)
def test_a_recording_is_read_as_it_was_written(path):
    for text in path.read_bytes().splitlines(keepends=True):
        assert encode(decode(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\n",
        b"plain words",
        b"{",
        b"[]",
        b"{}",
        b'{"v":2,"event":"hello"}',
        b'{"v":1,"event":"export:paused"}',
        b"\xff",
    ],
)
def test_what_is_no_line_of_ours_is_none(text):
    assert decode(text) is None


@given(st.binary(max_size=200) | ANYTHING.map(lambda held: repr(held).encode("utf-8", "replace")))
def test_no_text_is_an_error(text):
    assert decode(text) is None or text.strip().startswith(b"{")


@pytest.mark.parametrize("line", [line for line, _ in TABLE], ids=lambda line: type(line).__name__)
@given(rubbish=ANYTHING.filter(lambda held: not isinstance(held, int) or abs(held) < 2**63))
def test_a_line_whose_values_are_rubbish_is_read_or_passed_over(line, rubbish):
    record = orjson.loads(encode(numbered(line)))
    for key in record.keys() - {"v", "event"}:
        try:
            text = orjson.dumps({**record, key: rubbish})
        except orjson.JSONEncodeError:
            continue
        read = decode(text)
        if read is not None:
            encode(read)


def test_a_line_of_an_older_version_lacks_keys_and_is_read():
    read = decode(b'{"v":1,"event":"export:progress","jobId":"j","phase":"processing","progress":3}')
    assert read.line == ExportProgress(job_id="j", phase="processing", progress=3)
    assert (read.seq, read.elapsed) == (0, 0.0)


def test_a_result_without_its_parts_has_empty_ones():
    assert decode(b'{"v":1,"event":"result","outcome":"ok","exitCode":0}').line == Result(outcome="ok", exit_code=0)
