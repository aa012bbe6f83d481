"""`doctor` says what is well and what is not, and what to do."""


def checks(ended):
    return {line["name"]: line for line in ended.lines if line["event"] == "check"}


def test_without_a_server_this_machine_is_checked(command):
    ended = command.run("doctor", "--ndjson")
    assert ended.status == 0
    assert [*checks(ended)] == ["configuration", "state", "disk", "embedded"]
    shown = command.run("doctor")
    assert "config.toml" in shown.stdout.decode()


def test_a_server_that_is_not_there_is_named_and_nothing_else_is_blamed(command):
    ended = command.run("doctor", "--server", "http://127.0.0.1:9", "--ndjson")
    assert ended.status == ended.result["exitCode"] == 7
    assert ended.result["error"]["code"] == "CHECK_FAILED"
    found = checks(ended)
    assert found["server"]["status"] == "failed"
    assert found["server"]["hint"]
    assert {found[name]["status"] for name in ("clock", "sign-in", "socket", "polling")} == {"skipped"}


def test_each_part_of_the_way_is_looked_at_and_a_wrong_token_is_told(serve, exportctl, tmp_path):
    (tmp_path / "cells").mkdir()
    served = serve(tmp_path / "cells", ping_interval=1)
    well = exportctl.run("doctor", *served.options, "--transport", "polling", "--ndjson")
    assert {name: line["status"] for name, line in checks(well).items()} == dict.fromkeys(
        ["configuration", "state", "disk", "proxy", "server", "clock", "sign-in", "streaming", "polling"], "ok"
    )
    ill = exportctl.run("doctor", "--server", served.url, "--token", "no-such", "--transport", "polling", "--ndjson")
    assert ill.status == 7
    assert checks(ill)["sign-in"]["status"] == "failed"
    assert "no-such" not in (ill.stdout.decode() + ill.stderr)
