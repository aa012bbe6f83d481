"""The sockets: who may connect, replay and live as one story without a gap, and nonsense refused politely."""

import asyncio
import contextlib
import json
import logging
import random
import socket as socket_module

import pytest

from server.conftest import OTHER_TOKEN, TOKEN, serving, write_images
from server.socket_client import connected


@pytest.mark.parametrize(
    ("token", "message"), [(None, "Authentication token required"), ("wrong", "Authentication failed")]
)
async def test_without_the_right_token_the_socket_is_refused_in_words(server, token, message):
    async with connected(server.url, token) as socket:
        assert socket.refusal == {"message": message}


@pytest.mark.parametrize("auth", [True, False])
async def test_the_token_may_come_with_the_handshake_or_as_a_header(server, auth):
    async with connected(server.url, TOKEN, auth=auth) as socket:
        assert socket.refusal is None
        assert (await socket.call("export:history", {"projectId": server.project.id}))["ok"]


async def test_a_socket_that_subscribes_to_nothing_gets_all_events_of_its_user_and_no_others(server):
    async with (
        server.client() as client,
        server.client(OTHER_TOKEN) as other,
        connected(server.url, TOKEN) as socket,
    ):
        theirs = await server.start(other)
        jobs = [await server.start(client) for _ in range(3)]
        for job_id in jobs:
            await socket.wait(lambda s, job_id=job_id: s.completed(job_id))
            logged = await server.events(client, job_id)
            assert [data for _, data in socket.of(job_id)] == [event["data"] for event in logged]
        await server.events(other, theirs)
        assert socket.of(theirs) == []


async def test_a_subscription_gives_the_state_then_the_replay_then_the_acknowledgement(server):
    async with server.client() as client:
        job_id = await server.start(client)
        logged = await server.events(client, job_id)
        async with connected(server.url, TOKEN) as socket:
            ack = await socket.call("export:subscribe", {"jobId": job_id, "after": 2})
            assert socket.order == ["export:status-sync", *(event["event"] for event in logged[2:]), "ack"]
            assert ack == {
                "ok": True,
                "protocol": 2,
                "log": ack["log"],
                "lastSeq": len(logged),
                "status": "completed",
                "gap": False,
            }
            sync = socket.events[0][1]
            assert (sync["status"], sync["progress"], sync["lastSeq"]) == ("completed", 100, len(logged))
            again = await socket.call("export:subscribe", {"jobId": job_id, "after": 1, "log": ack["log"]})
            assert again["gap"] is False
            socket.events.clear()
            foreign = await socket.call("export:subscribe", {"jobId": job_id, "after": 3, "log": "another"})
            assert foreign["gap"] is True
            assert [data for _, data in socket.of(job_id)] == [event["data"] for event in logged]


async def test_many_subscribers_at_random_moments_all_hear_the_whole_story_once(settings_for, tmp_path):
    """Replay and live are one path: whenever a reader comes, it gets 1, 2, 3 … without a gap or a double."""
    folder = write_images(tmp_path / "many", 150)
    async with serving(settings_for(folder, coalesce=0.002)) as server, server.client() as client:
        job_id = await server.start(client)
        chance = random.Random(7)

        async def follow(wanted):
            # A moment of the job's own time, not of the clock.
            await server.events_until(client, job_id, wanted)
            async with connected(server.url, TOKEN) as socket:
                after = chance.randint(0, wanted)
                await socket.call("export:subscribe", {"jobId": job_id, "after": after})
                await socket.wait(lambda s: s.completed(job_id))
                # Until it subscribed it was told of all its user's jobs, as in protocol 1.
                begin = next(n for n, (name, _) in enumerate(socket.events) if name == "export:status-sync")
                return after, [data["seq"] for _, data in socket.events[begin:] if "seq" in data]

        stories = await asyncio.gather(*(follow(chance.randint(0, 20)) for _ in range(30)))
        last = (await server.events(client, job_id))[-1]["data"]["seq"]
        assert last > 20
        for after, seen in stories:
            assert seen == list(range(after + 1, last + 1))


async def test_a_subscribed_socket_hears_of_its_jobs_only_until_it_unsubscribes(server):
    async with (
        server.client() as client,
        connected(server.url, TOKEN) as socket,
        connected(server.url, TOKEN) as all_jobs,
    ):
        first, second = [await server.start(client) for _ in range(2)]
        assert (await socket.call("export:subscribe", {"jobId": first, "after": 0}))["ok"]
        before = len(socket.of(second))
        await socket.wait(lambda s: s.completed(first))
        await all_jobs.wait(lambda s: s.completed(second))
        assert len(socket.of(second)) == before
        third = await server.start(client)
        assert (await socket.call("export:unsubscribe", {"jobId": third})) == {"ok": True}
        await server.events(client, third)
        assert socket.of(third) == []


async def test_a_job_is_cancelled_over_the_socket_and_the_answer_comes_at_once(settings_for, tmp_path):
    folder = write_images(tmp_path / "many", 300)
    async with (
        serving(settings_for(folder)) as server,
        server.client() as client,
        connected(server.url, TOKEN) as socket,
    ):
        job_id = await server.start(client)
        await socket.wait_for("export:started")
        assert await socket.call("export:cancel", {"jobId": job_id, "reason": "no need"}) == {
            "ok": True,
            "status": "cancelling",
        }
        cancelled = await socket.wait_for("export:cancelled")
        assert (cancelled["reason"], cancelled["cancelledBy"], cancelled["cleanupCompleted"]) == (
            "no need",
            "user",
            True,
        )
        assert await socket.call("export:cancel", {"jobId": job_id}) == {"ok": True, "status": "cancelled"}


async def test_protocol_1s_cancel_really_ends_the_job(settings_for, tmp_path):
    folder = write_images(tmp_path / "many", 300)
    async with (
        serving(settings_for(folder)) as server,
        server.client() as client,
        connected(server.url, TOKEN) as socket,
    ):
        job_id = await server.start(client)
        await socket.wait_for("export:started")
        await socket.send("operation:cancel", {"operationId": job_id, "operationType": "export"})
        ack = await socket.wait_for("operation:cancel-ack")
        assert (ack["success"], ack["operationId"], ack["operationType"]) == (True, job_id, "export")
        await socket.wait(lambda s: s.order.count("export:cancelled") == 2)
        told = [data for name, data in socket.events if name == "export:cancelled"]
        assert sorted(name for data in told for name in ("jobId", "operationId") if name in data) == [
            "jobId",
            "operationId",
        ]
        assert {data.get("jobId", data.get("operationId")) for data in told} == {job_id}


async def test_protocol_1s_cancel_of_what_is_not_there_is_told_too(server):
    async with connected(server.url, TOKEN) as socket:
        await socket.send("operation:cancel", {"operationId": "nobody", "operationType": "bogus"})
        ack = await socket.wait_for("operation:cancel-ack")
        assert (ack["success"], ack["operationId"], ack["error"]) == (False, "nobody", "No such export job")


async def test_history_is_answered_and_then_pushed(server):
    async with server.client() as client, connected(server.url, TOKEN) as socket:
        old = await server.start(client)
        await server.events(client, old)
        answer = await socket.call("export:history", {"projectId": server.project.id, "limit": 5})
        assert [job["id"] for job in answer["jobs"]] == [old]
        new = await server.start(client)
        await server.events(client, new)
        await socket.wait(lambda s: sum(name == "export:history" for name, _ in s.events) == 2)
        pushed = [data["job"] for name, data in socket.events if name == "export:history"]
        assert [(job["id"], job["status"]) for job in pushed] == [(new, "pending"), (new, "completed")]


async def test_a_short_history_names_the_older_jobs_that_still_run(settings_for, cells):
    async with (
        serving(settings_for(cells, jobs_at_once=0)) as server,
        server.client() as client,
        connected(server.url, TOKEN) as socket,
    ):
        jobs = [await server.start(client) for _ in range(3)]
        answer = await socket.call("export:history", {"projectId": server.project.id, "limit": 1})
        assert [job["id"] for job in answer["jobs"]] == [jobs[-1]]
        assert [job["id"] for job in answer["running"]] == jobs[:-1]


async def test_a_list_of_jobs_leaves_out_what_would_make_it_megabytes(settings_for, tmp_path):
    names = [f"cell {number:04}.png" for number in range(1, 102)]
    folder = write_images(tmp_path / "many", len(names), size=8)
    async with (
        serving(settings_for(folder, jobs_at_once=0)) as server,
        server.client() as client,
        connected(server.url, TOKEN) as socket,
    ):
        few = await server.start(client, {"selectedImageIds": names[:1]})
        many = await server.start(client, {"selectedImageIds": names})
        listed = (await socket.call("export:history", {"projectId": server.project.id}))["jobs"]
        assert [(job["id"], job["options"].get("selectedImageIds")) for job in listed] == [
            (many, None),
            (few, names[:1]),
        ]
        told = (await client.get(f"/api/projects/{server.project.id}/export/history")).json()
        assert [job["options"]["selectedImageIds"] for job in told] == [names, names[:1]]
        assert (await client.get(f"/api/export/{many}")).json() == told[0]


async def test_a_silent_running_job_is_said_to_be_alive(settings_for, cells):
    async with (
        serving(settings_for(cells, heartbeat=0.05, jobs_at_once=0)) as server,
        server.client() as client,
        connected(server.url, TOKEN) as socket,
    ):
        job_id = await server.start(client)
        beat = await socket.wait_for("export:heartbeat")
        assert (beat["jobId"], beat["lastSeq"]) == (job_id, 0)
        assert beat["timestamp"].endswith("Z")


@pytest.mark.parametrize(
    ("name", "data", "code"),
    [
        ("export:subscribe", [], "BAD_DATA"),
        ("export:subscribe", ["text"], "BAD_DATA"),
        ("export:subscribe", [None], "BAD_DATA"),
        ("export:subscribe", [[1, 2]], "BAD_DATA"),
        ("export:subscribe", [{}], "BAD_DATA"),
        ("export:subscribe", [{"jobId": 7}], "BAD_DATA"),
        ("export:subscribe", [{"jobId": {"$ne": None}}], "BAD_DATA"),
        ("export:subscribe", [{"jobId": "x" * 5000}], "BAD_DATA"),
        ("export:subscribe", [{"jobId": "unknown"}], "JOB_NOT_FOUND"),
        ("export:unsubscribe", [{"jobId": "unknown"}], "JOB_NOT_FOUND"),
        ("export:cancel", [{"jobId": "unknown"}], "JOB_NOT_FOUND"),
        ("export:cancel", [True], "BAD_DATA"),
        ("export:history", [{"projectId": "unknown"}], "PROJECT_NOT_FOUND"),
        ("export:history", [{"projectId": []}], "BAD_DATA"),
        ("operation:cancel", [{"operationId": "unknown"}], "JOB_NOT_FOUND"),
    ],
)
async def test_a_call_that_makes_no_sense_is_refused_and_the_socket_lives(server, name, data, code):
    async with connected(server.url, TOKEN) as socket:
        answer = await socket.call(name, *data)
        assert (answer["ok"], answer["code"]) == (False, code)
        assert answer["error"]
        assert (await socket.call("export:history", {"projectId": server.project.id}))["ok"]


@pytest.mark.parametrize("after", [-1, 1.5, "1", True, [1], 2**70])
async def test_a_place_in_the_log_that_is_no_number_is_refused(server, after):
    async with server.client() as client, connected(server.url, TOKEN) as socket:
        job_id = await server.start(client)
        answer = await socket.call("export:subscribe", {"jobId": job_id, "after": after})
        assert (answer["ok"], answer["code"]) == (False, "BAD_DATA")
        await server.events(client, job_id)


async def test_somebody_elses_job_is_not_there(server):
    async with server.client() as client, connected(server.url, OTHER_TOKEN) as socket:
        job_id = await server.start(client)
        for name in ("export:subscribe", "export:unsubscribe", "export:cancel"):
            assert (await socket.call(name, {"jobId": job_id}))["code"] == "JOB_NOT_FOUND"
        assert (await server.events(client, job_id))[-1]["event"] == "export:completed"
        assert (await socket.call("export:history", {"projectId": server.project.id}))["jobs"] == []


async def test_a_flood_of_calls_is_refused_beyond_a_few_at_once(server):
    async with server.client() as client, connected(server.url, TOKEN) as socket:
        job_id = await server.start(client)
        await server.events(client, job_id)
        answers = await asyncio.gather(*(socket.call("export:subscribe", {"jobId": job_id}) for _ in range(200)))
        assert {answer.get("code") for answer in answers} <= {None, "TOO_MANY_CALLS"}
        assert (await socket.call("export:subscribe", {"jobId": job_id}))["ok"]


def frame(text):
    """Make a masked text frame (RFC 6455, 5.2); the mask is zero."""
    data = text.encode()
    assert len(data) < 126
    return bytes([0x81, 0x80 | len(data), 0, 0, 0, 0]) + data


async def stalled_socket(url, token):
    """Connect a socket whose kernel buffer is small, and that reads nothing any more."""
    host, port = url.removeprefix("http://").split(":")
    raw = socket_module.socket()
    raw.setsockopt(socket_module.SOL_SOCKET, socket_module.SO_RCVBUF, 4096)
    raw.settimeout(0)
    await asyncio.get_running_loop().sock_connect(raw, (host, int(port)))
    reader, writer = await asyncio.open_connection(sock=raw, limit=1024)
    writer.write(
        b"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: x\r\n"
        b"Connection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
    await reader.readuntil(b"\r\n\r\n")
    writer.write(frame("40" + json.dumps({"token": token})))
    writer.transport.pause_reading()
    return writer


async def test_a_stalled_reader_is_cut_at_a_bounded_queue_and_loses_nothing(settings_for, tmp_path):
    """A socket that reads nothing must cost neither memory nor the others' events."""
    folder = write_images(tmp_path / "many", 200)
    settings = settings_for(folder, coalesce=0.001, stall=0.3, queue=8)
    async with serving(settings) as server, server.client() as client:
        job_id = await server.start(client)
        logged = await server.events(client, job_id)
        stalled = await stalled_socket(server.url, TOKEN)
        async with asyncio.timeout(60):
            while not stalled.transport.is_closing():
                # It asks for the whole story again and again, and reads none of it.
                stalled.write(frame(f'420["export:subscribe",{{"jobId":"{job_id}"}}]') * 16)
                await asyncio.sleep(0.01)
        stalled.close()
        async with connected(server.url, TOKEN) as socket:
            await socket.call("export:subscribe", {"jobId": job_id})
            assert [data for _, data in socket.of(job_id)] == [event["data"] for event in logged]


async def test_a_planned_stop_is_told_to_everybody_before_the_sockets_are_closed(settings_for, cells):
    async with serving(settings_for(cells)) as server, contextlib.AsyncExitStack() as stack:
        both = [await stack.enter_async_context(connected(server.url, token)) for token in (TOKEN, OTHER_TOKEN)]
        server.stop.set()
        for socket in both:
            assert (await socket.wait_for("system-message"))["type"] == "warning"
            async with asyncio.timeout(20):
                await socket.closed.wait()


@pytest.mark.parametrize("text", ["\ud800", "x" * 1001, 7])
async def test_a_reason_that_no_log_can_keep_is_refused_and_cancels_nothing(server, text, caplog):
    async with server.client() as client, connected(server.url, TOKEN) as socket:
        job_id = await server.start(client)
        for call in ({"jobId": job_id, "reason": text}, {"jobId": text}):
            assert (await socket.call("export:cancel", call))["code"] == "BAD_DATA"
        assert (await socket.call("operation:cancel", {"operationId": text}))["code"] == "BAD_DATA"
        assert (await server.events(client, job_id))[-1]["event"] == "export:completed"
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []
