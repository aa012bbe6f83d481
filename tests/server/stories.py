"""What holds of every job's story and of every archive, whatever happened to the server meanwhile."""

import zipfile

ENDED = {"completed", "failed", "cancelled"}
ALL = {"annotationFormats": ["coco", "yolo", "json"], "metricsFormats": ["excel", "csv", "json"]}


def check_story(events):
    """Hold what every story holds: numbers without a gap, one beginning, one end, progress that never falls."""
    assert [item["data"]["seq"] for item in events] == list(range(1, len(events) + 1))
    names = [item["event"].removeprefix("export:") for item in events]
    assert names.count("started") <= 1
    assert sum(name in ENDED for name in names) == (names[-1] in ENDED)
    progress = [item["data"]["progress"] for item in events if "progress" in item["data"]]
    assert progress == sorted(progress)
    if names[-1] == "completed":
        assert names[-3:] == ["phase-changed", "download-ready", "completed"]
        last = {item["data"]["stage"]: item["data"]["stageProgress"] for item in events if "stage" in item["data"]}
        assert all(state["current"] == state["total"] for state in last.values())
        assert len(last) == 5


def contents(path):
    """Return the entries of an archive with their sums; its bytes must be whole and no name twice."""
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        entries = archive.infolist()
    # A workbook holds the time it was made at.
    found = {entry.filename: entry.CRC for entry in entries if not entry.filename.endswith(".xlsx")}
    assert len({entry.filename for entry in entries}) == len(entries)
    return found
