"""The main job while the access token ends again and again under it: nobody notices."""

import zipfile

import pytest

from exportctl.server.app import open_app
from exportctl.server.settings import Settings, projects_of
from people_server import EMAIL, INNER_TOKEN, PASSWORD, serving
from system.processes import SHARED

NUCLEI = SHARED / "data" / "nuclei"
pytestmark = pytest.mark.skipif(not NUCLEI.is_dir(), reason="the nuclei are not beside the checkout")


@pytest.fixture
def people(tmp_path):
    """A server of exports behind a sign-in whose access tokens are soon over.

    They end by use, not by time: how often depends on what a command asks, never on how fast the machine is.
    """
    settings = Settings(
        tokens={INNER_TOKEN: "ana"}, state=tmp_path / "served", projects=projects_of([(NUCLEI, None)]), workers=1
    )
    (tmp_path / "served" / "jobs").mkdir(parents=True)
    with serving(open_app(settings), access_uses=1) as found:
        yield found


@pytest.fixture
def ana(exportctl, people):
    exportctl.environment = {"EXPORTCTL_SERVER": people.url, "EXPORTCTL_EMAIL": EMAIL, "EXPORTCTL_PASSWORD": PASSWORD}
    assert exportctl.run("login").status == 0
    exportctl.environment = {"EXPORTCTL_SERVER": people.url}
    return exportctl


@pytest.mark.parametrize("transport", ["socket", "polling"])
def test_an_export_is_followed_and_fetched_through_many_ends_of_the_access_token(ana, people, transport):
    ended = ana.run("run", "nuclei", "-o", "out.zip", "--transport", transport, "--ndjson")
    assert (ended.status, ended.result["verified"]) == (0, True), ended.stderr
    told = [line["serverSeq"] for line in ended.lines if "serverSeq" in line]
    assert told == list(range(1, len(told) + 1))
    assert zipfile.ZipFile(ana.folder / "out.zip").testzip() is None
    assert people.rotations >= 2
    assert people.reused == 0
    assert ana.run("whoami").status == 0


def test_several_commands_share_the_session_through_its_ends(ana, people):
    people.access_uses = 12  # each of the five may come back from one renewal before the next is due
    jobs = [ana.run("start", "nuclei").stdout.decode().strip() for _ in range(2)]
    commands = [ana.start("follow", *jobs, "--ndjson") for _ in range(3)]
    commands += [ana.start("download", job, "-o", f"{number}.zip") for number, job in enumerate(jobs)]
    for command in commands[:3]:
        stdout, stderr = command.communicate(timeout=120)
        assert command.returncode == 0, stderr
        assert stdout.count(b'"event":"export:completed"') == 2
    for command in commands[3:]:
        command.communicate(timeout=120)
    assert people.rotations >= 1
    assert people.reused == 0
    assert ana.run("download", jobs[0], "-o", "again.zip").status == 0


def test_a_session_that_ends_for_good_under_a_running_export_is_status_4_with_the_words(ana, people):
    job = ana.run("start", "nuclei").stdout.decode().strip()
    people.end_everything()
    ended = ana.run("follow", job, "--ndjson")
    assert ended.status == 4
    assert ended.result["error"]["hint"].startswith("exportctl login")
