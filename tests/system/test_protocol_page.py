"""docs/protocol.md says what the server does: its tables are held to real answers, and its client is run."""

import re
import resource
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import cv2
import httpx
import numpy as np
import pytest

import exportctl
from system.processes import PATIENCE, Served, command_in

PAGE = (Path(__file__).parents[2] / "docs" / "protocol.md").read_text("utf-8")
(CLIENT,) = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
ENVELOPE = {"jobId", "projectId", "seq", "timestamp", "correlationId"}
ENDS = {"export:completed", "export:failed", "export:cancelled"}


def rows(heading, begin="| `"):
    """Return the rows of the table below a heading, as lists of cells."""
    (section,) = re.findall(rf"^## {re.escape(heading)}$(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    return [line.strip("| ").split(" | ") for line in section.splitlines() if line.startswith(begin)]


def named(text):
    return set(re.findall(r"`(\w+)`", re.sub(r"\([^)]*\)", "", text)))


EVENTS = {re.findall(r"`([\w:-]+)`", event)[0]: named(data) for event, data in rows("Events")}


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """A server with a project of thirty images, and one whose only image is larger than any file may be there."""
    command = command_in(tmp_path_factory.mktemp("server"))
    nuclei, large = command.folder / "nuclei", command.folder / "large"
    for folder in (nuclei, large):
        folder.mkdir()
    for number in range(30):
        cv2.imwrite(nuclei / f"{number}.png", np.zeros((12, 16), np.uint8))
    cv2.imwrite(large / "a.bmp", np.zeros((3000, 3000, 3), np.uint8))
    server = Served.start(command, nuclei, large, state=command.home / "served")
    resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (20 << 20, 20 << 20))
    yield server
    server.end()


@pytest.fixture(scope="module")
def http(served):
    headers = {"Authorization": f"Bearer {served.token}"}
    with httpx.Client(base_url=served.url, headers=headers, timeout=PATIENCE, trust_env=False) as client:
        yield client


def story_of(http, title, *, is_unwanted=False):
    """Start an export, cancelled at once where it is unwanted; return its events to the end."""
    (project,) = [one["id"] for one in http.get("/api/projects").json()["projects"] if one["title"] == title]
    job = http.post(f"/api/projects/{project}/export", json={"options": {}}).json()["jobId"]
    if is_unwanted:
        http.post(f"/api/projects/{project}/export/{job}/cancel", json={"reason": "a test"}).raise_for_status()
    story, until = [], time.monotonic() + PATIENCE
    while not story or story[-1]["event"] not in ENDS:
        assert time.monotonic() < until
        story += http.get(f"/api/export/{job}/events", params={"after": len(story), "wait": 5}).json()["events"]
    return story


def test_every_event_has_the_keys_of_the_table(http):
    stories = [story_of(http, "nuclei"), story_of(http, "large"), story_of(http, "nuclei", is_unwanted=True)]
    found = {}
    for story in stories:
        assert [one["data"]["seq"] for one in story] == list(range(1, len(story) + 1))
        for one in story:
            found.setdefault(one["event"], set()).add(frozenset(one["data"]))
    assert [story[-1]["event"] for story in stories] == ["export:completed", "export:failed", "export:cancelled"]
    assert found == {event: {frozenset(ENVELOPE | keys)} for event, keys in EVENTS.items()}


def test_every_path_of_the_table_is_described_by_the_server(http):
    described = http.get("/api/openapi.json").json()["paths"]
    told = [re.findall(r"(?:(?<=`)|(?<= ))(GET|HEAD|POST)|(/api[^ ?`]*)", request) for request, _ in rows("A job")]
    assert len(told) == 8
    for found in told:
        (path,) = {path for _, path in found if path}
        assert {method.lower() for method, _ in found if method} <= set(described[path])


def test_every_code_of_an_error_is_in_the_table_with_its_status():
    server = Path(exportctl.__file__).parent / "server"
    sources = [path.read_text("utf-8") for path in server.rglob("*.py") if path.name not in {"auth.py", "page.py"}]
    raised = [found for text in sources for found in re.findall(r'Refusal\(\s*(\d+),\s*"([A-Z_]+)"', text)]
    told = {status: codes for statuses, codes in rows("Errors", "| ") for status in statuses.split(", ")}
    assert len(raised) > 20
    assert [(status, code) for status, code in raised if f"`{code}`" not in told.get(status, "")] == [
        ("404", "NOT_COMPLETED")  # said at 409
    ]


@pytest.mark.parametrize("transport", ["/socket.io/", "/nowhere/"], ids=["by socket", "by long poll"])
def test_the_client_of_the_page_leaves_a_verified_archive(served, tmp_path, transport):
    client = CLIENT.replace("/socket.io/", transport)
    words = [sys.executable, "-c", client, served.url, served.token, "nuclei"]
    ended = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
    lines = ended.stdout.splitlines()
    assert [int(line.split()[0]) for line in lines[:-1]] == list(range(1, len(lines)))
    assert lines[-1] == "verified nuclei.zip.part"
    assert zipfile.ZipFile(tmp_path / "nuclei.zip.part").testzip() is None
