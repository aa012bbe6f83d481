"""A command that is killed between asking for an export and the answer: its job is found, and is not started twice."""

import contextlib
import socket
import threading
import zipfile

import httpx
import pytest

from exportctl.server.export.sample import make_sample
from system.processes import until


class Swallowing:
    """A way to the server on which the answer to a start, or the start itself, is lost, as long as `is_on`."""

    def __init__(self, port, *, before):
        self.is_on, self._before, self._port = True, before, port
        self.has_swallowed = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open = [self._listener]
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        for one in self._open:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection(("127.0.0.1", self._port))
                self._open += [near, far]
                is_mute = threading.Event()
                threading.Thread(target=self._carry, args=(near, far, is_mute), daemon=True).start()
                threading.Thread(target=self._carry, args=(far, near, is_mute), daemon=True).start()

    def _carry(self, source, sink, is_mute):
        with contextlib.suppress(OSError):
            while chunk := source.recv(65536):
                is_start = chunk.startswith(b"POST /api/projects/") and self.is_on
                if is_start:
                    is_mute.set()
                    if self._before:
                        self.has_swallowed.set()
                        continue
                elif is_mute.is_set():
                    self.has_swallowed.set()
                    continue
                sink.sendall(chunk)
            sink.shutdown(socket.SHUT_WR)


@pytest.fixture(scope="module")
def nuclei(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lost") / "nuclei"
    make_sample(folder, 6)
    return folder


@pytest.mark.parametrize("what", ["the answer", "the start"])
def test_resume_finds_the_job_of_a_command_that_was_killed_before_the_answer(exportctl, serve, nuclei, what):
    served = serve(nuclei)
    way = Swallowing(int(served.url.rpartition(":")[2]), before=what == "the start")
    exportctl.environment["EXPORTCTL_TOKEN"] = served.token
    try:
        options = ["--server", way.url, "-o", "x-{job}.zip", "--ndjson", "--no-visualizations"]
        with exportctl.start("run", "nuclei", *options) as run:
            until(way.has_swallowed.is_set, what)
            run.kill()
            run.communicate()
        way.is_on = False
        ended = exportctl.run("resume", "--ndjson")
        assert ended.status == 0, ended.stderr
        job = ended.result["jobId"]
        assert ended.result["file"] == str(exportctl.folder / f"x-{job[:8]}.zip")
        assert zipfile.ZipFile(ended.result["file"]).testzip() is None
        jobs = httpx.get(
            f"{served.url}/api/projects/{ended.result['projectId']}/export/history",
            headers={"Authorization": f"Bearer {served.token}"},
        ).json()
        assert [one["id"] for one in jobs] == [job]
        again = exportctl.run("resume", "--ndjson")
        assert (again.status, again.result["jobId"]) == (0, None)
    finally:
        way.close()
