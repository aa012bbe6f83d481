"""What this machine keeps of jobs: by every command, by many at once, or not at all."""

import json
import os
import sqlite3
import zipfile
from pathlib import Path

import pytest

from system.picked_up import rows, store_of


class TestStore:
    def test_a_run_leaves_what_it_did(self, exportctl, serve, fast):
        served = serve(fast)
        ended = exportctl.run("run", "fast", *served.options, "-o", "x.zip", "--ndjson")
        assert ended.status == 0, ended.stderr
        with sqlite3.connect(store_of(exportctl)) as store:
            store.row_factory = sqlite3.Row
            [row] = store.execute("SELECT * FROM job").fetchall()
        store.close()
        last_seq = max(line.get("serverSeq", 0) for line in ended.lines)
        assert row["server"] == served.url
        assert (row["status"], row["exit_status"], row["is_saved"], row["cursor"]) == ("completed", 0, 1, last_seq)
        assert Path(os.fsdecode(row["output"])) == exportctl.folder / "x.zip"
        assert "annotationFormats" in json.loads(row["options"])
        assert served.token.encode() not in b"".join(
            path.read_bytes() for path in store_of(exportctl).parent.glob("j*")
        )

    @pytest.mark.parametrize("off", ["option", "variable"])
    def test_nothing_is_kept_where_that_is_asked_for(self, exportctl, serve, fast, off):
        served = serve(fast)
        if off == "variable":
            exportctl.environment["EXPORTCTL_STATE"] = "off"
        options = ["--no-state"] if off == "option" else []
        assert exportctl.run("run", "fast", *served.options, *options).status == 0
        assert not store_of(exportctl).exists()

    @pytest.mark.parametrize("mishap", ["damaged", "newer", "folder", "no home"])
    def test_no_mishap_of_the_store_makes_a_command_fail(self, exportctl, serve, fast, mishap):
        served = serve(fast)
        path = store_of(exportctl)
        path.parent.mkdir(parents=True, exist_ok=True)
        if mishap == "damaged":
            path.write_bytes(b"this is no database" * 1000)
        elif mishap == "newer":
            with sqlite3.connect(path) as store:
                store.execute("CREATE TABLE x (y)")
                store.execute("PRAGMA user_version = 99")
            store.close()
        elif mishap == "folder":
            path.mkdir()
        else:
            exportctl.environment["HOME"] = "/dev/null/nowhere"
        ended = exportctl.run("run", "fast", *served.options, "--ndjson")
        assert ended.status == 0, ended.stderr
        warnings = [line for line in ended.lines if line["event"] == "log" and line["level"] == "warning"]
        assert [line["code"] for line in warnings] == ["state"]
        assert zipfile.is_zipfile(ended.result["file"])


def test_twenty_commands_at_once_share_the_store(exportctl, serve, fast):
    served = serve(fast)
    exportctl.environment |= {"EXPORTCTL_SERVER": served.url, "EXPORTCTL_TOKEN": served.token}
    shown = ["--ndjson", "--progress", "none"]
    first = exportctl.run("start", "fast").stdout.decode().strip()
    processes = [
        *(exportctl.start("run", "fast", "-o", f"{number}.zip", *shown) for number in range(8)),
        *(exportctl.start("follow", first, *shown) for _ in range(4)),
        *(exportctl.start("list", "--ndjson") for _ in range(4)),
        *(exportctl.start("resume", *shown) for _ in range(4)),
    ]
    for process in processes:
        stdout, stderr = process.communicate()
        assert process.returncode == 0, stderr.decode()
        assert b'"code":"state"' not in stdout
    assert len(rows(exportctl.run("list", "--ndjson"))) == 9
    names = {path.name for path in exportctl.folder.iterdir()}
    assert {f"{number}.zip" for number in range(8)} <= names
    assert not [name for name in names if name.startswith(".")], "a lock or a partial was left"


def test_a_job_of_this_machine_s_own_server_is_told_as_such(exportctl, fast):
    ended = exportctl.run("run", fast, "-o", "x.zip", "--ndjson")
    assert ended.status == 0, ended.stderr
    seen = exportctl.run("status", "@last")
    assert seen.status == 5
    assert str(exportctl.folder / "x.zip") in seen.stderr
    assert exportctl.run("resume").status == 0
    [row] = rows(exportctl.run("list", "--ndjson"))
    assert (row["status"], row["jobId"]) == ("completed", ended.result["jobId"])
