"""The embedded child as a process: one line each way, and an end that leaves nothing behind, whoever dies."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import closing

import httpx
import pytest

from exportctl.server.preconditions import StartError
from exportctl.server.run import serve
from server.conftest import write_images

PARENT = """
import subprocess, sys, time
child = subprocess.Popen(
    [sys.executable, "-P", "-m", "exportctl.server"],
    stdin=subprocess.PIPE,
    stdout=subprocess.PIPE,
    start_new_session=True,
)
child.stdin.write(sys.argv[1].encode() + b"\\n")
child.stdin.flush()
print(child.stdout.readline().decode(), flush=True)
time.sleep(600)
"""

UPGRADE = (
    "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
)


@pytest.fixture
def configuration(tmp_path):
    folder = write_images(tmp_path / "cells", 40, size=300)
    return {
        "token": "t",
        "user": "ana",
        "projects": [{"title": "Cells", "folder": str(folder)}],
        "state": str(tmp_path / "state"),
        "workers": 2,
    }


def processes_of(group):
    """List the living processes of a group: the child, the process its workers are forked from, and the workers."""
    listed = subprocess.run(["ps", "-A", "-o", "pid=,pgid=,stat="], capture_output=True, text=True, check=True).stdout
    rows = [line.split() for line in listed.splitlines()]
    return {int(pid) for pid, pgid, stat in rows if int(pgid) == group and not stat.startswith("Z")}


def holds(condition, seconds=20):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def completes(client, job_id):
    holds(lambda: client.get(f"/api/export/{job_id}").json()["completedAt"])
    status = client.get(f"/api/export/{job_id}").json()
    assert (status["status"], status["error"]) == ("completed", None)


def begin_export(url):
    client = httpx.Client(base_url=url, headers={"Authorization": "Bearer t"}, trust_env=False, timeout=30)
    project = client.get("/api/projects").json()["projects"][0]
    job_id = client.post(f"/api/projects/{project['id']}/export", json={}).json()["jobId"]
    client.get(f"/api/export/{job_id}/events", params={"wait": 20})
    return client, job_id


def test_it_says_where_it_listens_and_works(child, configuration):
    process, said = child(configuration)
    assert said["pid"] == process.pid
    client, job_id = begin_export(said["url"])
    with closing(client):
        assert said["url"].startswith("http://127.0.0.1:")
        completes(client, job_id)


def test_it_ends_when_its_input_ends_whatever_clients_hold_open(child, configuration):
    process, said = child(configuration, start_new_session=True)
    client, job_id = begin_export(said["url"])
    completes(client, job_id)
    host, port = said["url"].removeprefix("http://").split(":")
    opened = []
    for request in (
        UPGRADE,
        "GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\n",
        f"GET /api/export/{job_id}/download HTTP/1.1\r\n",
        f"GET /api/export/{job_id}/events?after=9999999&wait=30 HTTP/1.1\r\n",
        "POST /api/projects/x/export HTTP/1.1\r\nContent-Length: 100\r\n",
    ):
        connection = socket.create_connection((host, int(port)))
        connection.sendall(f"{request}Host: x\r\nAuthorization: Bearer t\r\n\r\n".encode())
        opened.append(connection)
    assert opened[0].recv(1)
    assert len(processes_of(process.pid)) >= 3
    process.stdin.close()
    assert process.wait(20) == 0
    holds(lambda: not processes_of(process.pid))
    for connection in opened:
        connection.close()
    client.close()


@pytest.mark.parametrize("what", [signal.SIGTERM, signal.SIGKILL])
def test_a_signal_in_the_middle_of_work_leaves_no_process(child, configuration, what):
    process, said = child(configuration, start_new_session=True)
    client, _ = begin_export(said["url"])
    client.close()
    assert len(processes_of(process.pid)) >= 3
    process.send_signal(what)
    assert process.wait(20) == (0 if what == signal.SIGTERM else -signal.SIGKILL)
    holds(lambda: not processes_of(process.pid))


def test_ctrl_c_in_the_terminal_is_the_parents_to_handle(child, configuration):
    process, said = child(configuration, start_new_session=True)
    client, job_id = begin_export(said["url"])
    with closing(client):
        os.killpg(process.pid, signal.SIGINT)
        completes(client, job_id)
    assert process.poll() is None


def test_it_dies_with_a_parent_that_is_killed_and_its_workers_too(configuration):
    parent = subprocess.Popen([sys.executable, "-c", PARENT, json.dumps(configuration)], stdout=subprocess.PIPE)
    said = json.loads(parent.stdout.readline())
    client, _ = begin_export(said["url"])
    client.close()
    assert len(processes_of(said["pid"])) >= 3
    parent.kill()
    parent.wait()
    parent.stdout.close()
    holds(lambda: not processes_of(said["pid"]))


def test_an_ephemeral_state_is_removed_at_the_end_and_another_is_kept(child, configuration, tmp_path):
    process, _ = child({**configuration, "ephemeral": True})
    assert (tmp_path / "state").exists()
    process.stdin.close()
    process.wait(20)
    assert not (tmp_path / "state").exists()
    process, _ = child(configuration)
    process.stdin.close()
    process.wait(20)
    assert (tmp_path / "state" / "events.sqlite3").exists()


def test_a_sample_is_made_in_the_state_folder(child, configuration):
    _, said = child({**configuration, "projects": [{"title": "sample", "sample": 3}]})
    with httpx.Client(base_url=said["url"], headers={"Authorization": "Bearer t"}, trust_env=False) as client:
        project = client.get("/api/projects").json()["projects"][0]
    assert (project["title"], project["imageCount"]) == ("sample", 3)


def test_a_start_that_cannot_be_is_one_line_with_a_hint(child, configuration, tmp_path):
    (tmp_path / "file").write_text("x")
    for change, code in [
        ({"projects": [{"title": "x", "folder": str(tmp_path / "nope")}]}, "NO_SUCH_FOLDER"),
        ({"projects": [{"title": "x", "folder": str(tmp_path / "file")}]}, "NOT_A_FOLDER"),
        ({"state": str(tmp_path / "file" / "state")}, "STATE_UNUSABLE"),
        ({"projects": "nonsense"}, "BAD_CONFIGURATION"),
    ]:
        process, said = child({**configuration, **change})
        assert process.wait(20) == 1
        assert (said["error"]["code"], set(said["error"])) == (code, {"code", "message", "hint"})


def test_a_log_that_is_no_database_or_a_newer_one_is_refused_in_words(child, configuration, tmp_path):
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "events.sqlite3").write_bytes(b"no database" * 1000)
    process, said = child(configuration)
    assert (process.wait(20), said["error"]["code"]) == (1, "STATE_UNUSABLE")
    (tmp_path / "state" / "events.sqlite3").unlink()
    (tmp_path / "state" / "tickets.key").mkdir()
    process, said = child(configuration)
    assert (process.wait(20), said["error"]["code"]) == (1, "STATE_UNUSABLE")


def test_a_port_that_is_taken_is_said(settings_for, tmp_path):
    folder = write_images(tmp_path / "cells", 1)
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(StartError) as refused:
        serve(settings_for(folder, port=taken.getsockname()[1]), print)
    assert (refused.value.code, refused.value.hint) == ("PORT_IN_USE", "Choose another --port, or 0 for any free one")


def test_no_token_is_ever_logged(configuration):
    secret = "s3cr3t-t0k3n"
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "exportctl.server"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    process.stdin.write(json.dumps({**configuration, "token": secret}).encode() + b"\n")
    process.stdin.flush()
    said = json.loads(process.stdout.readline())
    headers = {"Authorization": f"Bearer {secret}"}
    with httpx.Client(base_url=said["url"], trust_env=False) as client:
        assert client.get("/api/projects", headers=headers).status_code == 200
        assert client.get("/api/projects", headers={"Authorization": f"Bearer {secret}x"}).status_code == 401
        assert client.get("/api/nope", params={"token": secret}, headers=headers).status_code == 404
    out, err = process.communicate(timeout=20)
    assert secret.encode() not in out + err
    assert err == b""
