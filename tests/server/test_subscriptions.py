"""Subscriptions of one socket that meet each other: what was asked last holds."""

import asyncio

from server.conftest import TOKEN, serving, write_images
from server.socket_client import connected


async def test_what_is_subscribed_and_unsubscribed_in_one_breath_ends_as_the_last_word_says(settings_for, tmp_path):
    """As by a page that is left before it is there: calls count in the order of their sending."""
    settings = settings_for(write_images(tmp_path / "many", 80), coalesce=0.001, queue=4)
    async with serving(settings) as server, server.client() as client:
        done = await server.start(client)
        logged = await server.events(client, done)
        async with connected(server.url, TOKEN) as left, connected(server.url, TOKEN) as kept:
            job = {"jobId": await server.start(client)}
            await server.events_until(client, job["jobId"], 20)
            left_answers = asyncio.gather(*(left.call(f"export:{verb}subscribe", job) for verb in ("", "un", "", "un")))
            kept_answers = asyncio.gather(*(kept.call(f"export:{verb}subscribe", job) for verb in ("", "un", "")))
            answers = [*await left_answers, *await kept_answers]
            assert {answer.get("code") for answer in answers} <= {None, "UNSUBSCRIBED"}
            assert answers[-1]["ok"]
            told = len(left.of(job["jobId"]))
            await kept.wait(lambda s: s.completed(job["jobId"]))
            # It is told of nothing more, not even of what comes before another job's replay.
            assert (await left.call("export:subscribe", {"jobId": done}))["lastSeq"] == len(logged)
            assert len(left.of(job["jobId"])) == told
