"""Every line reaches its reader whole, at once, or an error says why not."""

import json
import os
import resource
import threading
from pathlib import Path

import pytest

from exportctl.model.encoding import encode
from exportctl.model.errors import CannotWrite, Usage
from exportctl.model.lines import Log, Numbered
from exportctl.output.ndjson import NdjsonSink, open_events, write_all


def line(number, message="remark"):
    return Numbered(
        seq=number,
        timestamp="2026-11-24T05:41:00.000Z",
        elapsed=0.5,
        correlation_id="c",
        line=Log(level="info", code="x", message=message),
    )


@pytest.fixture
def pipe():
    ends = list(os.pipe())
    yield ends
    for end in ends:
        if end is not None:
            os.close(end)


def test_a_line_is_there_as_soon_as_it_is_told(pipe):
    sink = NdjsonSink(pipe[1])
    sink.take(line(1, "buňka\n\x1b"))
    assert os.read(pipe[0], 10_000) == (
        b'{"v":1,"seq":1,"event":"log","timestamp":"2026-11-24T05:41:00.000Z","elapsed":0.5,"jobId":null,'
        b'"projectId":null,"correlationId":"c","source":"client","level":"info","code":"x",'
        b'"message":"bu\xc5\x88ka\\n\\u001b"}\n'
    )
    sink.tick()
    sink.close()
    os.write(pipe[1], b"still open")


def test_lines_told_at_once_are_one_write(pipe, monkeypatch):
    sizes, write = [], os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: sizes.append(len(data)) or write(descriptor, data))
    told = [line(number) for number in range(1, 4)]
    NdjsonSink(pipe[1]).take(*told)
    monkeypatch.undo()
    assert os.read(pipe[0], 10_000) == b"".join(map(encode, told))
    assert sizes == [sum(len(encode(one)) for one in told)]


@pytest.mark.parametrize("is_blocking", [True, False])
def test_a_line_longer_than_the_pipe_arrives_whole(pipe, is_blocking):
    os.set_blocking(pipe[1], is_blocking)
    data = os.urandom(1_000_000)
    got = bytearray()

    def read():
        while len(got) < len(data):
            got.extend(os.read(pipe[0], 7_001))

    reader = threading.Thread(target=read)
    reader.start()
    write_all(pipe[1], data)
    reader.join()
    assert got == data


def test_a_closed_pipe_is_let_through(pipe):
    os.close(pipe[0])
    pipe[0] = None
    with pytest.raises(BrokenPipeError):
        NdjsonSink(pipe[1]).take(line(1))


def test_an_events_file_is_emptied_and_filled_line_by_line(tmp_path):
    path = tmp_path / "events.ndjson"
    path.write_text("old\n" * 100)
    sink = open_events(str(path))
    sink.take(line(1))
    assert path.read_bytes() == encode(line(1))
    sink.take(line(2))
    sink.close()
    assert [json.loads(text)["seq"] for text in path.read_text().splitlines()] == [1, 2]


def test_an_events_file_is_no_business_of_children(tmp_path):
    sink = open_events(str(tmp_path / "events"))
    assert not os.get_inheritable(sink._descriptor)
    sink.close()


def test_a_descriptor_of_the_parent_is_written_and_left_open(pipe):
    sink = open_events(f"fd:{pipe[1]}")
    sink.take(line(1))
    sink.close()
    os.write(pipe[1], b"more")
    assert os.read(pipe[0], 10_000) == encode(line(1)) + b"more"


@pytest.mark.parametrize("spec", ["fd:", "fd:x", "fd:-1", "fd:3.5", "fd:٣", "fd:99999", f"fd:{2**70}"])
def test_a_descriptor_that_is_none_is_a_usage_error(spec):
    with pytest.raises(Usage) as caught:
        open_events(spec)
    assert caught.value.hint


def test_a_descriptor_for_reading_is_a_usage_error(pipe):
    with pytest.raises(Usage, match="reading only"):
        open_events(f"fd:{pipe[0]}")


def test_a_file_that_cannot_be_opened_is_named_with_the_reason(tmp_path):
    with pytest.raises(CannotWrite, match=r"no/events: No such file or directory"):
        open_events(str(tmp_path / "no" / "events"))
    with pytest.raises(CannotWrite, match="Is a directory"):
        open_events(str(tmp_path))
    with pytest.raises(Usage):
        open_events("nul\0name")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full is Linux's")
def test_a_full_disk_is_said_by_name():
    sink = open_events("/dev/full")
    with pytest.raises(CannotWrite, match="cannot write to /dev/full: No space left on device"):
        sink.take(line(1))
    sink.close()


def test_a_high_descriptor_can_be_waited_for(pipe):
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    high = os.dup2(pipe[1], min(limit, 2000) - 1)
    os.set_blocking(high, False)
    reader = threading.Thread(target=lambda: [os.read(pipe[0], 100_000) for _ in range(3)])
    reader.start()
    write_all(high, b"x" * 200_000)
    reader.join()
    os.close(high)
