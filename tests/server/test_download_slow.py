"""A reader of the archive that takes its time costs its connection and one block; one that is gone costs nothing."""

import asyncio
import os

import pytest

from exportctl.server import sending
from exportctl.server.routes.download import FileSlice
from exportctl.server.sending import BLOCK, ShorterError
from waiting import until

SIZE = 20 * BLOCK + 7


class Reader:
    """The far end of an answer: takes `upto` messages, then no more."""

    def __init__(self, upto):
        self.upto = upto
        self.taken = []
        self.is_gone = asyncio.Event()

    async def receive(self):
        await self.is_gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message):
        if len(self.taken) >= self.upto:
            await asyncio.Event().wait()
        self.taken.append(message)

    @property
    def body(self):
        return b"".join(message.get("body", b"") for message in self.taken)


@pytest.fixture
def archive(tmp_path):
    path = tmp_path / "archive.zip"
    path.write_bytes(os.urandom(SIZE))
    return path


@pytest.fixture
def reads(monkeypatch):
    """Count what is read of the file."""
    counted, pread = [], os.pread

    def read(descriptor, length, start):
        counted.append(length)
        return pread(descriptor, length, start)

    monkeypatch.setattr(sending.os, "pread", read)
    return counted


def answer(archive):
    return FileSlice(archive.open("rb", buffering=0), range(SIZE), 200, {})


def served(response, reader):
    return asyncio.create_task(response({"type": "http", "method": "GET"}, reader.receive, reader.send))


async def test_no_block_is_read_before_the_one_before_it_was_taken(archive, reads):
    reader = Reader(upto=4)
    task = served(answer(archive), reader)
    await until(lambda: len(reads) == 4)  # the head and three blocks were taken, the fourth waits
    await asyncio.sleep(0)
    assert sum(reads) == 4 * BLOCK
    assert len(reader.taken) == 4
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_reader_that_takes_all_gets_all(archive):
    reader = Reader(upto=1000)
    await served(answer(archive), reader)
    assert reader.body == archive.read_bytes()
    assert [message.get("more_body", False) for message in reader.taken][-2:] == [True, False]


async def test_for_a_reader_that_is_gone_nothing_more_is_read(archive, reads):
    reader = Reader(upto=1000)
    reader.is_gone.set()
    response = answer(archive)
    await served(response, reader)
    assert len(reads) <= 2
    assert response._file.closed


async def test_an_archive_that_is_cut_while_it_is_sent_is_never_ended_cleanly(archive):
    response = answer(archive)
    os.truncate(archive, 5 * BLOCK)
    reader = Reader(upto=1000)
    with pytest.raises(ShorterError):
        await served(response, reader)
    assert len(reader.body) == 5 * BLOCK
    assert all(message.get("more_body", True) for message in reader.taken)
    assert response._file.closed
