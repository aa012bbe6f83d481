"""A job by whatever name: its id, the beginning of one, the last one, and at the server where it is."""

import sqlite3

import pytest

from system.picked_up import rows, started, store_of


class TestNames:
    def test_the_last_job_and_the_beginning_of_an_id_need_no_server(self, exportctl, serve, fast):
        served = serve(fast)
        job = started(exportctl, served, "fast")
        exportctl.environment["EXPORTCTL_TOKEN"] = served.token
        for name in ("@last", job, job.split("/")[1], job.split("/")[1][:8]):
            ended = exportctl.run("status", name, "--ndjson")
            assert ended.status == 0, ended.stderr
            assert rows(ended)[0]["jobId"] == job.split("/")[1]

    def test_a_machine_that_knows_nothing_asks_the_server_for_the_beginning(self, exportctl, serve, fast):
        served = serve(fast)
        job = started(exportctl, served, "fast")
        ended = exportctl.run("status", job.split("/")[1][:8], *served.options, "--no-state", "--ndjson")
        assert rows(ended)[0]["jobId"] == job.split("/")[1]
        unknown = exportctl.run("status", "aaaaaaaa", *served.options, "--no-state")
        assert unknown.status == 5
        nowhere = exportctl.run("status", "no-such-project/aaaaaaaa", *served.options, "--no-state")
        assert (nowhere.status, "exportctl projects" in nowhere.stderr) == (5, True)

    def test_an_ambiguous_beginning_lists_what_it_begins(self, exportctl, serve, fast):
        served = serve(fast)
        job = started(exportctl, served, "fast")
        with sqlite3.connect(store_of(exportctl)) as store:
            store.execute("UPDATE job SET job_id = 'abcdef-1'")
            store.execute(
                "INSERT INTO job (server, job_id, project_id, began_at, touched, touched_at)"
                " VALUES (?, 'abcdef-2', 'p', 0, 9, 0)",
                (served.url,),
            )
        store.close()
        ended = exportctl.run("status", "abcdef", *served.options)
        assert ended.status == 2
        assert f"{job.split('/')[0]}/abcdef-1" in ended.stderr
        assert "p/abcdef-2" in ended.stderr

    def test_another_server_than_the_job_s_is_a_contradiction(self, exportctl, serve, fast):
        served = serve(fast)
        started(exportctl, served, "fast")
        ended = exportctl.run("status", "@last", "--server", "http://127.0.0.1:9")
        assert ended.status == 2
        assert served.url in ended.stderr

    @pytest.mark.parametrize("command", ["status", "download", "follow", "cancel"])
    def test_no_job_is_the_last_where_none_was(self, exportctl, command):
        ended = exportctl.run(command, "@last", "--ndjson", "--server", "http://127.0.0.1:9")
        assert (ended.status, ended.result["exitCode"]) == (5, 5)

    def test_a_token_of_the_profile_goes_to_no_other_server(self, exportctl, serve, fast):
        served = serve(fast)
        started(exportctl, served, "fast")
        settings = exportctl.home / ".config/exportctl"
        settings.mkdir(parents=True)
        (settings / "config.toml").write_text(f'[default]\nserver = "http://127.0.0.1:9"\ntoken = "{served.token}"\n')
        ended = exportctl.run("status", "@last")
        assert ended.status == 4


def test_a_job_is_asked_for_where_the_user_says_though_it_is_known_elsewhere(exportctl, serve, fast):
    here = serve(fast)
    job = started(exportctl, here, "fast")
    there = serve(fast, state="there")
    for name in (job, job.split("/")[1], job.split("/")[1][:8]):
        ended = exportctl.run("status", name, *there.options, "--ndjson")
        assert ended.status == 5, ended.stderr
        assert there.url in ended.lines[0]["server"]
    assert exportctl.run("follow", job, "--token", here.token, "--ndjson").status == 0
    refused = exportctl.run("follow", "@last", *there.options)
    assert (refused.status, here.url in refused.stderr, there.url in refused.stderr) == (2, True, True)
