"""Jobs begun by one command, for another to pick up."""

from pathlib import Path


def store_of(exportctl) -> Path:
    return exportctl.home / ".local/state/exportctl/jobs.sqlite3"


def rows(ended):
    return [line for line in ended.lines if line["event"] == "job"]


def started(exportctl, served, project):
    ended = exportctl.run("start", project, *served.options)
    assert ended.status == 0, ended.stderr
    return ended.stdout.decode().strip()
