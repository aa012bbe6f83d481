"""What a command may say of a job of a protocol 1 server, by what truly became of it, and what holds for every end."""

from pathlib import Path

from production.acts import Another, CutArchive, RemoveArchive
from production.jobs import Job
from production.plan import PATH_OF_A_FAILURE
from production.site import Site
from system.processes import Command, Ended
from system.telling import check_form

ENDS = {"export:completed": "completed", "export:failed": "failed", "export:cancelled": "cancelled"}
STATUS = {"completed": 0, "failed": 3, "cancelled": 10, "forgotten": 5}
OUTCOMES = {0: "completed", 3: "failed", 10: "cancelled"}


def verdicts(site: Site, job: Job, *, fetches: bool) -> set[int]:
    """Return the statuses that are true of a job: of each of its ends, since the command may have seen any of them."""
    found = {STATUS[end] for end in job.became}
    if fetches and "completed" in job.became:
        happened = " ".join(site.happened)
        if any(act.__name__ in happened for act in (Another, CutArchive)):
            found.add(8)
        if any(act.__name__ in happened for act in (Another, RemoveArchive)):
            found.add(5)  # gone, or another job's in its place
    return found


def check_lines(ended: Ended) -> None:
    """Assert what holds for the lines of every command, and of each of its jobs."""
    lines = ended.lines
    assert lines[0]["event"] == "hello"
    assert lines[-1]["event"] == "result"
    assert [line["seq"] for line in lines] == list(range(1, len(lines) + 1))
    for job_id in {line["jobId"] for line in lines if line["jobId"]}:
        _check_job([line for line in lines if line["jobId"] == job_id])


def _check_job(lines: list[dict]) -> None:
    told = [line for line in lines if line["event"].startswith("export:") and line["event"] != "export:status-sync"]
    for phase in ("processing", "downloading"):
        of_phase = [line for line in told if line["event"] == "export:progress" and line["phase"] == phase]
        progress = [line["progress"] for line in of_phase if line["progress"] is not None]
        assert progress == sorted(progress), progress
        assert all(round(one, 2) == one for one in progress)
    names = [line["event"] for line in told]
    assert names.count("export:started") == ("export:started" in names)
    if any(line.get("phase") != "downloading" for line in told):
        assert names[0] == "export:started"
    ends = [name for name in names if name in ENDS]
    assert len(ends) <= 1, ends
    results = [line for line in lines if line["event"] == "result"]
    assert len(results) == 1
    assert lines[-1] == results[0]
    if ends:
        after = [line for line in told[names.index(ends[0]) + 1 :] if line.get("phase") != "downloading"]
        assert after == []
        if ends[0] != "export:completed":
            assert results[0]["outcome"] == ENDS[ends[0]]


def check_end(ended: Ended, command: Command) -> None:
    """Assert what holds for every end of a command with one job."""
    check_form(ended, command)
    check_lines(ended)
    result = ended.result
    if ended.status in OUTCOMES:
        assert result["outcome"] == OUTCOMES[ended.status]
    else:
        assert result["error"]["message"]
    told = ended.stderr + ended.stdout.decode()
    assert PATH_OF_A_FAILURE not in told
    assert "/srv/" not in told


def check_files(ended: Ended, command: Command, site: Site, job: Job) -> None:
    """Assert that what lies in the folder is one whole archive of the project, or nothing that a verdict forbids."""
    left = sorted(command.folder.iterdir(), key=str)
    if ended.status == 0:
        assert [str(path) for path in left] == [ended.result["file"]], left
        data = Path(ended.result["file"]).read_bytes()
        assert ended.result["verified"] is True
        whole = site.shelf.versions[job.project_id]
        assert data in whole, "bytes that are no archive which the server ever had"
        if Another.__name__ not in " ".join(site.happened):
            assert data == job.archive
    elif ended.status in {3, 5, 8, 10}:
        assert left == [], (ended.status, left)
