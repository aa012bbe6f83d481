"""What a command told of its jobs, and what holds for every telling."""

from collections import defaultdict

from system.processes import Command, Ended, descendants_in, until

DIFFERS = {"seq", "elapsed", "source", "correlationId"}
"""What may differ between two tellings of one story (`CLI.md`, NDJSON)."""


def stories(ended: Ended) -> dict[str, list[dict]]:
    """Return what the server told of each job, without what may differ."""
    told = defaultdict(list)
    for line in ended.lines:
        if "serverSeq" in line:
            told[line["jobId"]].append({key: line[key] for key in line if key not in DIFFERS})
    return told


def story(ended: Ended) -> list[dict]:
    """Return what the server told of the command's only job."""
    told = stories(ended)
    assert len(told) <= 1
    return next(iter(told.values()), [])


def check_form(ended: Ended, command: Command) -> None:
    """Assert what holds for every end of a command with one job, or with none."""
    assert "Traceback" not in ended.stderr, ended.stderr
    assert [line["seq"] for line in ended.lines] == list(range(1, len(ended.lines) + 1))
    assert ended.lines[0]["event"] == "hello"
    assert ended.result["exitCode"] == ended.status
    until(lambda: not descendants_in(command.home), "every process of the command to be gone", 15)
