"""What Prometheus reads of the server: what happens, in numbers, and nobody's names."""

import re

from prometheus_client.parser import text_string_to_metric_families

from server.conftest import TOKEN, serving
from server.socket_client import connected


async def read(client):
    """Return the samples, by name and labels as they are spelled."""
    answer = await client.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/plain")
    lines = [line.rpartition(" ") for line in answer.text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in lines}


def unlike_prometheus(family):
    """Return what `promtool check metrics` would say of a family."""
    kinds = {"counter", "gauge", "histogram"}
    if not family.documentation:
        yield "no help"
    if family.type not in kinds:
        yield f"a {family.type}"
    if re.search(r"[A-Z]|^[0-9]|__|(?:_|^)(?:total|count|sum|bucket|info|gauge|counter|histogram)$", family.name):
        yield "a name that says otherwise"
    if re.search(r"(?:milli|micro|nano)?(?:ms|minutes|hours|days|kb|megabytes)$", family.name):
        yield "no base unit"
    for sample in family.samples:
        if family.type == "counter" and not sample.name.endswith(("_total", "_created")):
            yield "a counter without _total"
        if sample.labels.keys() & {"job", "instance"} or (family.type != "histogram" and "le" in sample.labels):
            yield "a label that is Prometheus' own"


async def test_jobs_events_sockets_answers_and_bytes_are_counted(server):
    async with server.client() as client, server.client(token=None) as anybody:
        before = await read(anybody)
        assert before['exportctl_jobs{state="running"}'] == 0
        assert before["exportctl_pool_workers"] == 2
        assert before['exportctl_jobs_ended_total{status="failed"}'] == 0
        job_id = await server.start(client)
        events = await server.events(client, job_id)
        size = events[-2]["data"]["fileSize"]
        assert (await client.get(server.job_path(job_id) + "/download")).status_code == 200
        async with connected(server.url, TOKEN):
            after = await read(anybody)
        assert after['exportctl_jobs_ended_total{status="completed"}'] == 1
        assert after['exportctl_job_seconds_count{status="completed"}'] == 1
        assert after["exportctl_events_logged_total"] == len(events)
        assert after["exportctl_sockets"] == 1
        assert after["exportctl_wait_seconds_count"] == 1
        assert after["exportctl_oldest_wait_seconds"] == 0
        assert after["exportctl_pool_losses_total"] == 0
        assert after["process_resident_memory_bytes"] > 0
        assert after['exportctl_answer_seconds_count{method="POST",route="start",status="200"}'] == 1
        assert after['exportctl_sent_bytes_total{route="download"}'] == size
        told = (await anybody.get("/metrics")).text
        for name in ("ana", job_id, server.project.id, str(server.settings.state)):
            assert name not in told


async def test_prometheus_own_parser_reads_all_of_it_by_its_own_rules_of_names(server):
    async with server.client() as client:
        await server.events(client, await server.start(client))
        for path in ("/api/nothing", "/nothing/at/all", "/page/none.js"):
            await client.get(path)
        told = (await client.get("/metrics")).text
        families = list(text_string_to_metric_families(told))
        assert len(families) > 15
        assert {family.name: list(unlike_prometheus(family)) for family in families} == {
            family.name: [] for family in families
        }
        # Whatever is asked for, there are no more rows than routes.
        rows = len(told.splitlines())
        for number in range(30):
            await client.get(f"/api/{number}")
            await client.get(f"/api/projects/{number}/export/{number}/status")
        grown = len((await client.get("/metrics")).text.splitlines()) - rows
        assert grown < 60, "one row of a histogram for each bucket, of one new route at most"


async def test_what_waits_and_who_follows_is_counted_while_it_lasts(settings_for, cells):
    async with serving(settings_for(cells, jobs_at_once=0)) as server, server.client() as client:
        await server.start(client)
        job_id = await server.start(client)
        async with connected(server.url, TOKEN) as socket:
            assert (await read(client))["exportctl_subscribers"] == 2, "all jobs of the user"
            await socket.call("export:subscribe", {"jobId": job_id, "after": 0})
            now = await read(client)
        assert now["exportctl_subscribers"] == 1
        assert now['exportctl_jobs{state="waiting"}'] == 2
        assert now["exportctl_oldest_wait_seconds"] > 0
        parts = (await client.get("/api/health")).json()["parts"]
        assert parts["jobs"]["waiting"] == 2
        assert parts["jobs"]["oldestWait"] > 0
        assert parts["disk"]["free"] > 0
