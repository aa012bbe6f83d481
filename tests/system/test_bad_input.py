"""What users get wrong, and what is wrong with what they have: clear words, the right status, nothing left behind."""

import shutil
import socket
import subprocess
import zipfile

import pytest

from system.processes import SHARED

NUCLEI = SHARED / "data" / "nuclei"
needs_nuclei = pytest.mark.skipif(not NUCLEI.is_dir(), reason="the nuclei are not beside the checkout")


def is_clear(ended) -> bool:
    return "Traceback" not in ended.stderr and ended.stderr.startswith("exportctl: error: ")


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["run", "nowhere"], 2, "no such folder: nowhere"),
        (["run", "file.txt"], 2, "file.txt is no folder"),
        (["run", "empty"], 2, "image"),
        (["run"], 2, "TARGET"),
        (["run", "sample", "--scale", "-1"], 2, "--scale"),
        (["run", "sample", "--annotations", "voc"], 2, "voc"),
        (["run", "sample", "--select", "nothing.png"], 2, "nothing.png"),
        (["run", "sample", "--limit-rate", "fast"], 2, "--limit-rate"),
        (["run", "sample", "--options", "file.txt"], 2, "no JSON"),
        (["run", "sample", "--profile", "lab"], 2, "lab"),
        (["run", "sample", "--nonsense"], 2, "--nonsense"),
        (["start", "nuclei"], 2, "start needs a server"),
        (["run", "x", "--server", "ftp://x"], 2, "http"),
        (["run", "x", "--server", "http://user:secret@x"], 2, "--token-file"),
    ],
)
def test_wrong_words_are_explained(exportctl, arguments, status, words):
    (exportctl.folder / "empty").mkdir()
    (exportctl.folder / "file.txt").write_text("text")
    ended = exportctl.run(*arguments, "-q")
    assert ended.status == status
    assert words in ended.stderr
    assert "secret" not in ended.stderr
    assert is_clear(ended)
    lines = exportctl.run(*arguments, "--ndjson", "-q").lines
    assert (lines[0]["event"], lines[-1]["event"], lines[-1]["exitCode"]) == ("hello", "result", status)


def test_no_server_there_is_status_7(exportctl):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    ended = exportctl.run("run", "x", "--server", f"http://127.0.0.1:{port}", "-q")
    assert ended.status == 7
    assert is_clear(ended)


def test_a_wrong_token_is_status_4(exportctl, serve, tmp_path):
    (tmp_path / "pictures").mkdir()
    served = serve(tmp_path / "pictures")
    ended = exportctl.run("run", "pictures", "--server", served.url, "--token", "wrong", "-q")
    assert ended.status == 4
    assert "wrong" not in ended.stderr
    assert is_clear(ended)


@needs_nuclei
def test_images_without_polygons_are_exported_with_a_warning(exportctl):
    folder = exportctl.folder / "bare"
    folder.mkdir()
    shutil.copy(NUCLEI / "coins.png", folder)
    ended = exportctl.run("run", folder, "-o", "bare.zip", "--ndjson")
    assert ended.status == 0
    assert any("polygon" in warning for warning in ended.result["warnings"])
    names = zipfile.ZipFile(exportctl.folder / "bare.zip").namelist()
    assert "images/coins.png" in names
    assert "metrics/metrics.xlsx" in names


@needs_nuclei
@pytest.mark.parametrize("strict", [False, True])
def test_a_damaged_image_is_named_and_the_rest_exported(exportctl, strict):
    folder = exportctl.folder / "some"
    shutil.copytree(NUCLEI, folder)
    whole = (folder / "nuclei-tile-2.png").read_bytes()
    (folder / "nuclei-tile-2.png").write_bytes(whole[: len(whole) // 2])
    ended = exportctl.run("run", folder, "-o", "some.zip", "--ndjson", *(["--strict"] if strict else []))
    assert ended.status == (3 if strict else 0)
    assert any("nuclei-tile-2.png" in warning for warning in ended.result["warnings"])
    names = zipfile.ZipFile(exportctl.folder / "some.zip").namelist()
    assert "visualizations/nuclei-tile-1.png" in names


@needs_nuclei
@pytest.mark.parametrize("text", [b"", b"{", b"\xff\xfe\x00", b"[" * 100_000, b'{"images": 3, "annotations": {}}'])
def test_a_damaged_polygon_file_is_named_and_the_rest_exported(exportctl, text):
    folder = exportctl.folder / "some"
    shutil.copytree(NUCLEI, folder)
    (folder / "annotations.json").write_bytes(text)
    ended = exportctl.run("run", folder, "-o", "some.zip", "--ndjson")
    assert ended.status == 0
    assert any("annotations.json" in warning for warning in ended.result["warnings"])


@needs_nuclei
def test_two_images_of_one_name_are_both_exported(exportctl):
    folder = exportctl.folder / "two"
    for place in ("a", "b"):
        (folder / place).mkdir(parents=True)
    shutil.copy(NUCLEI / "nuclei-tile-1.png", folder / "a" / 'it\'s "one" ž.png')
    shutil.copy(NUCLEI / "nuclei-tile-2.png", folder / "b" / 'it\'s "one" ž.png')
    exportctl.run("run", folder, "-o", "two.zip")
    archive = zipfile.ZipFile(exportctl.folder / "two.zip")
    names = {name for name in archive.namelist() if name.startswith("images/")}
    assert names == {'images/a/it\'s "one" ž.png', 'images/b/it\'s "one" ž.png'}


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 2 MB; only root can make one."""
    place = tmp_path / "small"
    place.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", place], capture_output=True, check=False)
    if made.returncode != 0:
        pytest.skip("a small disk can be mounted only by root")
    yield place
    subprocess.run(["umount", place], check=True)


def test_a_full_disk_under_the_output_is_status_11_and_resume_goes_on_once_there_is_room(exportctl, small_disk):
    ended = exportctl.run("run", "sample", "-o", small_disk / "out.zip", "-q")
    assert ended.status == 11
    assert "the disk of" in ended.stderr
    assert "make room" in ended.stderr
    assert is_clear(ended)
    assert not (small_disk / "out.zip").exists()
    subprocess.run(["mount", "-o", "remount,size=50m", small_disk], check=True)
    resumed = exportctl.run("resume", "-q")
    assert resumed.status == 0, resumed.stderr
    assert [path.name for path in small_disk.iterdir()] == ["out.zip"]


def test_a_full_disk_under_the_server_fails_the_export_and_leaves_nothing(exportctl, small_disk):
    exportctl.environment = {"XDG_STATE_HOME": str(small_disk)}
    ended = exportctl.run("run", "sample", "-o", "out.zip", "-q")
    assert ended.status in {3, 11}
    assert "disk" in ended.stderr.lower() or "space" in ended.stderr.lower()
    assert is_clear(ended)
    assert not (exportctl.folder / "out.zip").exists()
