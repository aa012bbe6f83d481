"""What the server says of itself: a request's id is found again in its answer, its job and the log; secrets never."""

import io
import json
import logging
import threading

import pytest

from exportctl.server import logs
from exportctl.server.settings import Logging
from server.conftest import TOKEN, write_images


@pytest.fixture
def said(monkeypatch):
    """Have the server log as JSON from here on; returns a function that gives the objects so far."""
    paper = io.StringIO()
    monkeypatch.setattr("sys.stderr", paper)
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [])
    ours, theirs = logging.getLogger("exportctl"), logging.getLogger("uvicorn.error")
    kept = root.level, ours.level, logs.ACCESS.level, list(theirs.filters)
    logs.log_to_stderr(Logging(level="info", is_json=True, access=True))

    def lines():
        for handler in root.handlers:
            handler.flush()
        return [json.loads(line) for line in paper.getvalue().splitlines()]

    yield lines
    for handler in root.handlers:
        handler.close()
    root.setLevel(kept[0])
    ours.setLevel(kept[1])
    logs.ACCESS.setLevel(kept[2])
    theirs.filters[:] = kept[3]


async def test_a_jobs_whole_story_is_found_by_the_id_of_the_request_that_began_it(said, server):
    async with server.client() as client:
        job_id = await server.start(client, **{"X-Request-ID": "the-request"})
        events = await server.events(client, job_id)
        status = (await client.get(f"/api/export/{job_id}")).json()
    assert {event["data"]["correlationId"] for event in events} == {"the-request"} == {status["correlationId"]}
    mine = [one for one in said() if one.get("correlationId") == "the-request"]
    assert [one["event"] for one in mine if one["event"] != "request"] == ["job-made", "job-begun", "job-ended"]
    [request] = [one for one in mine if one["event"] == "request"]
    assert (request["method"], request["route"], request["status"], request["user"]) == ("POST", "start", 200, "ana")
    assert request["seconds"] >= 0
    ended = mine[-1]
    assert (ended["jobId"], ended["user"], ended["status"], ended["level"]) == (job_id, "ana", "completed", "info")
    assert ended["time"].endswith("Z")


async def test_an_answer_carries_the_ids_it_was_sent_or_new_ones_and_an_error_says_which(said, server):
    async with server.client() as client, server.client(token=None) as nobody:
        given = {"X-Request-ID": "one", "X-Correlation-ID": "all"}
        told = await nobody.get("/api/projects", headers=given)
        assert (told.headers["X-Request-ID"], told.headers["X-Correlation-ID"]) == ("one", "all")
        assert (told.status_code, told.json()["requestId"]) == (401, "one")
        for wrong in ("a b", "x" * 300, "tab\there", ""):
            made = (await client.get("/api/projects", headers={"X-Request-ID": wrong})).headers["X-Request-ID"]
            assert made not in {wrong, "one"}
            assert len(made) == 36
        polled = await nobody.get("/socket.io/", params={"EIO": "4", "transport": "polling"}, headers=given)
        assert polled.headers["X-Request-ID"] == "one"
    assert {one["requestId"] for one in said() if one["event"] == "request"} >= {"one", made}


async def test_no_secret_and_no_query_is_ever_said(said, server):
    async with server.client() as client, server.client(token=None) as nobody:
        job_id = await server.start(client)
        await server.events(client, job_id)
        await nobody.get(server.job_path(job_id) + "/download", params={"token": "secret-query"})
        await nobody.get("/api/projects", headers={"Cookie": "access_token=secret-cookie"})
        await nobody.post("/api/auth/login", json={"email": "a@b.c", "password": "secret-word"})
    words = json.dumps(said())
    assert "/download" in words
    for secret in (TOKEN, "secret-query", "secret-cookie", "secret-word"):
        assert secret not in words


def test_text_is_one_line_that_no_terminal_obeys():
    record = logging.LogRecord("exportctl.server", logging.WARNING, "", 1, "a %s", ("b\n\x1b[31m\udcff",), None)
    vars(record).update(logs.facts(event="e", path="/\r\nx", nothing=None))
    assert logs.TextLine().format(record) == "exportctl server: warning: a b \\x1b[31m\\udcff path=/ x"
    assert json.loads(logs.JsonLine().format(record))["path"] == "/\r\nx"


def test_a_fault_has_its_traceback_in_json_and_one_line_in_text():
    with pytest.raises(ValueError, match="'old'") as failure:
        int("old")
    caught = (failure.type, failure.value, failure.tb)
    record = logging.LogRecord("exportctl.server", logging.ERROR, "", 1, "It failed", (), caught)
    made = json.loads(logs.JsonLine().format(record))
    assert (made["error"], "test_logs.py" in made["traceback"]) == (
        "ValueError: invalid literal for int() with base 10: 'old'",
        True,
    )
    assert (
        logs.TextLine().format(record)
        == "exportctl server: error: It failed (ValueError: invalid literal for int() with base 10: 'old')"
    )


async def test_nothing_is_said_of_requests_unless_wanted(server, capfd, tmp_path):
    write_images(tmp_path / "more", 1)
    async with server.client() as client:
        await server.events(client, await server.start(client))
    assert capfd.readouterr() == ("", "")


def test_a_log_that_nobody_reads_keeps_nobody_waiting(monkeypatch):
    entered, leave = threading.Event(), threading.Event()

    class Stuck(io.StringIO):
        def write(self, text):
            entered.set()
            leave.wait()
            return super().write(text)

    paper = Stuck()
    monkeypatch.setattr("sys.stderr", paper)
    handler = logs.Aside()
    handler.setFormatter(logs.TextLine())
    for number in range(10_100):
        handler.handle(logging.makeLogRecord({"msg": f"line {number}", "levelname": "INFO"}))
    entered.wait()
    leave.set()
    handler.flush()
    handler.close()
    assert paper.getvalue().startswith("exportctl server: info: line 0\n")
    assert "lines were lost" in paper.getvalue()
