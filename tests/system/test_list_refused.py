"""`list` where one server refuses to tell: the other jobs are listed all the same."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from exportctl.store.database import Database
from exportctl.store.jobs import Jobs, KnownJob


class Refusing(BaseHTTPRequestHandler):
    """A server of protocol 2 that calls every question wrong."""

    def do_GET(self):
        self.send_response(422)
        self.send_header("Export-Protocol", "2")
        self.send_header("Content-Type", "application/json")
        body = b'{"success": false, "error": "not like this", "code": "WRONG"}'
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def refusing():
    with ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_what_is_known_here_is_listed_whatever_a_server_refuses(exportctl, refusing):
    database = Database(folder=exportctl.home / ".local/state/exportctl")
    jobs = Jobs(database=database)
    jobs.begin(KnownJob(server=refusing, job_id="6f0c2b7e", project_id="p", is_started_here=True))
    ended_elsewhere = KnownJob(server="http://elsewhere.test", job_id="7a1d3c8f", project_id="p")
    jobs.begin(ended_elsewhere)
    jobs.note_end(ended_elsewhere, "completed")
    database.close()
    ended = exportctl.run("list", "--ndjson")
    assert ended.status == 0, ended.stderr
    assert {line["jobId"] for line in ended.lines if line["event"] == "job"} == {"6f0c2b7e", "7a1d3c8f"}
    assert [line["code"] for line in ended.lines if line["event"] == "log"] == ["server-not-asked"]
