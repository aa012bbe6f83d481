"""Any packets of somebody signed in: each call is answered, or its socket ends; nobody else notices, no log."""

import contextlib
import json
import logging
import os

import httpx
import hypothesis
import pytest
from hypothesis import HealthCheck, Phase
from hypothesis import strategies as st
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from exportctl.server.settings import Settings, projects_of
from server.beside import serving_beside
from server.conftest import OTHER_TOKEN, TOKEN, write_images

EXAMPLES = int(os.environ.get("EXPORTCTL_FUZZ", "40"))
EVENTS = ["export:subscribe", "export:unsubscribe", "export:cancel", "operation:cancel", "export:history"]
KEYS = ["jobId", "after", "log", "reason", "projectId", "limit", "operationId", "operationType"]

# Lone surrogates too: JSON can spell them.
texts = st.text(st.characters(exclude_categories=()), max_size=40)
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | texts
scalars |= st.sampled_from(["JOB", "PROJECT", "\ud800", "x" * 2000, 2**53, 2**64])
values = st.recursive(
    scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=5), inner), max_leaves=8
)
data = st.dictionaries(st.sampled_from(KEYS), scalars | values, max_size=5)
calls = st.tuples(st.sampled_from(EVENTS), data | values).map(list)
events = st.lists(st.sampled_from(EVENTS) | values, max_size=3)
rubbish = st.from_regex(r"4?[0-9]{0,2}-?(/[a-z]*,)?[0-9]{0,3}[\[{\"a-z,:}\]]{0,12}", fullmatch=True)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fuzz")
    projects = projects_of([(write_images(folder / "cells", 2), None)])
    tokens = {TOKEN: "ana", OTHER_TOKEN: "ben"}
    settings = Settings(tokens=tokens, state=folder / "state", projects=projects, workers=1)
    with serving_beside(settings) as url:
        headers = {"Authorization": f"Bearer {TOKEN}"}
        start = f"{url}/api/projects/{projects[0].id}/export"
        job = httpx.post(start, json={}, headers=headers, trust_env=False).json()["jobId"]
        yield url.replace("http", "ws") + "/socket.io/?EIO=4&transport=websocket", projects[0].id, job


@contextlib.contextmanager
def opened(url, token):
    with connect(url, proxy=None, compression=None) as socket:
        assert socket.recv().startswith("0")
        socket.send("40" + json.dumps({"token": token}))
        assert socket.recv().startswith("40")
        yield socket


def answer_to(socket, number):
    """The acknowledgement of a call; raises ConnectionClosed where the socket ended instead."""
    while not (seen := socket.recv(timeout=30)).startswith(f"43{number}["):
        if seen == "2":
            socket.send("3")
    return json.loads(seen[len(f"43{number}") :])[0]


@hypothesis.seed(11)
@hypothesis.settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@hypothesis.given(st.lists(calls | events, max_size=6), st.lists(rubbish | st.binary(max_size=20), max_size=2))
def test_every_call_is_answered_or_its_socket_ends(server, caplog, asked, then):
    url, project, job = server
    with opened(url, OTHER_TOKEN) as other, opened(url, TOKEN) as socket:
        with contextlib.suppress(ConnectionClosed):
            for number, args in enumerate(asked):
                body = json.dumps(args).replace('"PROJECT"', json.dumps(project)).replace('"JOB"', json.dumps(job))
                socket.send(f"42{number}{body}")
                if args and args[0] in EVENTS:  # what nobody listens to is answered by nobody
                    said = answer_to(socket, number)
                    assert said["ok"] is True or (said["code"] and said["error"])
            for packet in then:
                socket.send(packet)
        other.send(f'427["export:history",{{"projectId":"{project}"}}]')
        assert answer_to(other, 7)["ok"] is True
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []
