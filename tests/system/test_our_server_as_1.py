"""Our server as a client of protocol 1 meets it: one that does not know the header `Export-Protocol`."""

import zipfile
from contextlib import asynccontextmanager

import pytest

from exportctl.server.app import open_app
from exportctl.server.settings import Settings, projects_of
from people_server import EMAIL, INNER_TOKEN, PASSWORD, serving
from system.processes import SHARED

NUCLEI = SHARED / "data" / "nuclei"
pytestmark = pytest.mark.skipif(not NUCLEI.is_dir(), reason="the nuclei are not beside the checkout")


@asynccontextmanager
async def without_its_name(settings):
    """Open the application; nothing it says names protocol 2."""
    async with open_app(settings) as app:

        async def quiet(scope, receive, send):
            async def passed(message):
                if message["type"] == "http.response.start":
                    headers = [(name, value) for name, value in message["headers"] if name != b"export-protocol"]
                    message = {**message, "headers": headers}
                await send(message)

            await app(scope, receive, passed)

        yield quiet


@pytest.fixture
def ana(exportctl, tmp_path):
    settings = Settings(
        tokens={INNER_TOKEN: "ana"}, state=tmp_path / "served", projects=projects_of([(NUCLEI, None)]), workers=1
    )
    (tmp_path / "served" / "jobs").mkdir(parents=True)
    with serving(without_its_name(settings)) as people:
        exportctl.environment = {
            "EXPORTCTL_SERVER": people.url,
            "EXPORTCTL_EMAIL": EMAIL,
            "EXPORTCTL_PASSWORD": PASSWORD,
        }
        yield exportctl


@pytest.mark.parametrize("transport", ["socket", "polling"])
def test_a_client_of_protocol_1_starts_follows_and_fetches_an_export_of_ours(ana, transport):
    ended = ana.run("run", "nuclei", "-o", "out.zip", "--transport", transport, "--ndjson")
    assert (ended.status, ended.result["verified"]) == (0, True), ended.stderr
    assert {line["protocol"] for line in ended.lines if line["event"] == "connection:changed"} == {1}
    told = [line["event"] for line in ended.lines if line["event"].startswith("export:")]
    assert told.count("export:started") == told.count("export:completed") == 1
    assert zipfile.ZipFile(ana.folder / "out.zip").testzip() is None


def test_a_client_of_protocol_1_lists_looks_at_and_cancels_jobs_of_ours(ana):
    assert [line["title"] for line in ana.run("projects", "--ndjson").lines if line["event"] == "project"] == ["nuclei"]
    started = ana.run("start", "nuclei")
    assert started.status == 0, started.stderr
    job = started.stdout.decode().strip()
    assert ana.run("cancel", job).status == 0
    [row] = [line for line in ana.run("status", job, "--ndjson").lines if line["event"] == "job"]
    assert row["status"] in {"cancelled", "completed"}
    listed = ana.run("list", "nuclei", "--ndjson")
    assert row["jobId"] in {line["jobId"] for line in listed.lines if line["event"] == "job"}
