"""The recipes of README.md and docs/recipes.md do what they say: each is taken from there as it stands, and run.

Changed are the names of what is not here: the server, the program's place, the folders and the token's file.
"""

import os
import re
import shutil
import subprocess
import sys
import textwrap
import zipfile
from pathlib import Path

import cv2
import numpy as np
import orjson
import pytest

from schema_of_lines import check_all
from system.processes import PATIENCE, Served, command_in

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")
PAGE = (ROOT / "docs" / "recipes.md").read_text("utf-8")
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(heading, language, text=PAGE):
    """Return what stands below a heading in one language."""
    (section,) = re.findall(rf"^#+ {re.escape(heading)}$(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    return [body for name, body in BLOCK.findall(section) if name == language]


def needs(*tools):
    lacking = [tool for tool in tools if shutil.which(tool) is None]
    return pytest.mark.skipif(bool(lacking), reason=f"not installed here: {', '.join(lacking)}")


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """A server with two projects of one image and two polygons each."""
    command = command_in(tmp_path_factory.mktemp("server"))
    polygons = [{"label": "cell", "points": [[at, 1], [at + 4, 1], [at, 5]]} for at in (1, 8)]
    for title in ("nuclei", "controls"):
        folder = command.folder / title
        folder.mkdir()
        cv2.imwrite(folder / "a.png", np.zeros((12, 16), np.uint8))
        said = {"imagePath": "a.png", "imageWidth": 16, "imageHeight": 12, "shapes": polygons}
        (folder / "a.json").write_bytes(orjson.dumps(said))
    projects = [command.folder / title for title in ("nuclei", "controls")]
    server = Served.start(command, *projects, state=command.home / "served")
    yield server
    server.end()


class Place:
    """A folder to follow a recipe in, with the program, the token and a nearly empty environment."""

    def __init__(self, folder, served):
        self.folder, self.served = folder, served
        self.program = folder / "bin" / "exportctl"
        self.program.parent.mkdir()
        self.program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m exportctl "$@"\n')
        self.program.chmod(0o755)
        self.token = folder / "token"
        self.token.write_text(f"{served.token}\n")
        self.home = folder / "home"
        for made in (self.home, folder / "backup"):
            made.mkdir()

    def local(self, text, url=None):
        """Return a recipe for this machine."""
        for name, here in {
            "https://export.example.org": url or self.served.url,
            "/opt/exportctl/bin/exportctl": self.program,
            "/etc/exportctl/token": self.token,
            "/backup/": f"{self.folder}/backup/",
        }.items():
            text = text.replace(name, str(here))
        return text

    def run(self, *words, **environment):
        """Run a command as its caller would, which is nobody with an environment; return status, output, errors."""
        # The program's folder is that of the shell's tools: cron alone names it whole.
        usual = {"HOME": str(self.home), "LOGNAME": "ana", "SHELL": "/bin/sh", "PATH": "/usr/bin:/bin"}
        ended = subprocess.run(
            [str(word) for word in words],
            cwd=self.folder,
            env={**usual, **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        return ended.returncode, ended.stdout, ended.stderr

    def at_a_prompt(self, text, url=None, **environment):
        """Run a recipe as typed into a shell whose environment names the server."""
        found = {
            "PATH": f"{self.program.parent}:{os.environ['PATH']}",
            "EXPORTCTL_SERVER": url or self.served.url,
            "EXPORTCTL_TOKEN": self.served.token,
        }
        return self.run("bash", "-c", self.local(text, url), **found, **environment)

    def archives(self):
        """Return the names of the archives that are there, every one whole."""
        found = sorted(self.folder.rglob("*.zip"))
        assert all(zipfile.ZipFile(path).testzip() is None for path in found)
        return [path.name for path in found]


@pytest.fixture
def place(tmp_path, served):
    return Place(tmp_path, served)


CRON = re.compile(r"^(?:[\d*/,-]+\s+){5}(.*)$", re.MULTILINE)
NOWHERE = "http://127.0.0.1:9"
SLOWEST = next(body for body in blocks("Recipes", "sh", README) if "max_by" in body)
STAGES = {"images", "visualizations", "annotations", "metrics", "compression"}


def test_the_short_recipes_of_the_readme_are_those_of_the_page():
    (short,) = CRON.findall(blocks("Recipes", "crontab", README)[0])
    assert short in blocks("cron", "crontab")[0]
    assert set(blocks("Recipes", "sh", README)) <= {*(body for _, body in BLOCK.findall(PAGE)), SLOWEST}


def test_cron_is_silent_when_all_is_well_and_mails_one_line_when_not(place):
    (line,) = CRON.findall(blocks("cron", "crontab")[0])
    assert "%" not in line, "a crontab makes a line feed of it"
    assert place.run("/bin/sh", "-c", place.local(line)) == (0, "", "")
    (name,) = place.archives()
    assert re.fullmatch(r"nuclei-\d{4}-\d\d-\d\d\.zip", name)
    status, printed, told = place.run("/bin/sh", "-c", place.local(line))
    assert (status, printed, told.count("\n")) == (11, "", 1)
    (place.folder / "backup" / name).unlink()
    status, printed, told = place.run("/bin/sh", "-c", place.local(line, NOWHERE))
    assert (status, printed, told.count("\n")) == (7, "", 1)
    assert told.startswith(f"exportctl: error: no answer from {NOWHERE}: connection refused (")


def test_a_later_line_of_cron_makes_up_for_a_night_that_failed_and_does_nothing_otherwise(place):
    again, rest = CRON.findall(blocks("cron", "crontab")[1])
    again = again.replace(r"\%", "%")  # as cron does
    for _ in range(2):
        assert place.run("/bin/sh", "-c", place.local(again)) == (0, "", "")
    assert len(place.archives()) == 1
    assert place.run("/bin/sh", "-c", place.local(rest)) == (0, "", "")


def test_a_mail_is_sent_only_on_failure_with_the_line_in_it(place):
    (script,) = blocks("cron", "sh")
    mail = place.program.with_name("mail")
    mail.write_text('#!/bin/sh\n{ echo "$@"; cat; } > mail.txt\n')
    mail.chmod(0o755)
    assert place.at_a_prompt(script) == (0, "", "")
    assert not (place.folder / "mail.txt").exists()
    place.at_a_prompt(script, NOWHERE)
    head, *said = (place.folder / "mail.txt").read_text().splitlines()
    assert head == "-s the export of nuclei failed ana@example.org"
    assert (len(said), said[0].startswith("exportctl: error: no answer from")) == (1, True)


def test_a_service_exports_and_systemd_finds_nothing_wrong_with_it_and_its_timer(place):
    service, timer = (place.local(body) for body in blocks("systemd", "ini"))
    units = {re.match(r"# /etc/systemd/system/(\S+)\n", body)[1]: body for body in (service, timer)}
    for name, body in units.items():
        (place.folder / name).write_text(body)
    if shutil.which("systemd-analyze") is not None:
        status, printed, told = place.run(
            "systemd-analyze", "verify", "--recursive-errors=no", *(place.folder / name for name in units)
        )
        assert (status, printed, told) == (0, "", "")
    said = dict(re.findall(r"^(Environment|ExecStart|StateDirectory)=(.*)$", service, re.MULTILINE))
    specifiers = {"%S": str(place.folder), "%d": str(place.folder)}
    (place.folder / said["StateDirectory"]).mkdir()
    for name in ("Environment", "ExecStart"):
        for specifier, here in specifiers.items():
            said[name] = said[name].replace(specifier, here)
        assert "%" not in said[name]
    environment = dict(word.split("=", 1) for word in said["Environment"].split())
    assert place.run(*said["ExecStart"].split(), **environment)[::2] == (0, "")
    assert len(place.archives()) == 1
    again = re.search(r"^RestartPreventExitStatus=(.*)$", service, re.MULTILINE)[1].split()
    assert place.run(*said["ExecStart"].split(), **environment)[0] == 11
    assert "11" in again
    assert not {"6", "7", "9"} & set(again)


def step(heading="GitHub Actions"):
    (body,) = blocks(heading, "yaml")
    (script,) = re.findall(r"^ +run: \|\n((?:^ {10}.*\n)+)", body, re.MULTILINE)
    return textwrap.dedent(script)


@pytest.fixture
def runner(place):
    """Run the step as a runner does, for one of its projects; return status, output, and both files."""
    files = {name: place.folder / name for name in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY")}

    def run(**changes):
        (place.folder / "step.sh").write_text(step())
        for file in files.values():
            file.write_text("")
        environment = {
            "PATH": f"{place.program.parent}:{os.environ['PATH']}",
            "EXPORTCTL_SERVER": place.served.url,
            "EXPORTCTL_TOKEN": place.served.token,
            **{name: str(path) for name, path in files.items()},
        }
        words = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "step.sh"]
        status, printed, told = place.run(*words, **environment | changes)
        check_all((place.folder / "export.ndjson").read_bytes())
        return status, printed, told, *(file.read_text() for file in files.values())

    return run


@needs("jq")
def test_a_step_of_github_actions_leaves_outputs_and_a_summary(place, runner):
    status, printed, told, outputs, summary = runner()
    assert (status, printed) == (0, ""), told
    found = dict(line.split("=", 1) for line in outputs.splitlines())
    assert [*found] == ["archive", "sha256", "job"]
    assert Path(found["archive"]) == place.folder / "nuclei.zip"
    assert re.fullmatch(r"[\da-f]{64}", found["sha256"])
    bytes_ = (place.folder / "nuclei.zip").stat().st_size
    assert summary.startswith(f"| outcome | bytes | seconds |\n|---|---|---|\n| completed | {bytes_} | ")


@needs("jq")
def test_a_step_of_github_actions_that_fails_is_annotated_in_one_line_and_fails_the_job(runner):
    status, printed, _, outputs, summary = runner(EXPORTCTL_TOKEN="wrong%25")
    assert status == 4
    assert re.fullmatch(r"::error title=[A-Z_]+::.*\n", printed)
    assert "wrong" not in printed + summary + outputs
    assert "archive=\n" in outputs
    assert "| error |" in summary


@needs("make", "unzip", "jq")
def test_make_fetches_once_and_counts_and_leaves_nothing_of_a_failure(place):
    (text,) = blocks("make", "make")
    (place.folder / "Makefile").write_text(place.local(text))
    path = f"{place.program.parent}:{os.environ['PATH']}"
    status, _, told = place.run("make", "-j2", PATH=path)
    assert status == 0, told
    assert place.archives() == ["controls.zip", "nuclei.zip"]
    assert (place.folder / "nuclei.count").read_text() == "2\n"
    assert "Nothing to be done" in place.run("make", PATH=path)[1]
    for made in ("nuclei.zip", "nuclei.count"):
        (place.folder / made).unlink()
    status, _, told = place.run("make", f"EXPORTCTL_SERVER={NOWHERE}", PATH=path)
    assert (status, "connection refused" in told) == (2, True)
    assert place.archives() == ["controls.zip"]
    assert not (place.folder / "nuclei.count").exists()


LOOPS = [
    pytest.param(lambda: blocks("Every project, one after the other", "sh")[0], id="loop"),
    pytest.param(lambda: blocks("Every project, four at a time", "sh")[0], id="xargs"),
]


@needs("jq", "xargs")
@pytest.mark.parametrize("script", LOOPS)
def test_every_project_is_exported_and_a_failure_keeps_no_other_from_its_turn(place, script):
    (place.folder / "backup" / "controls.zip").touch()  # in the way
    _, _, told = place.at_a_prompt(script())
    assert f"{place.folder}/backup/controls.zip exists" in told
    (place.folder / "backup" / "controls.zip").unlink()
    assert place.archives() == ["nuclei.zip"]


@needs("jq", "unzip")
def test_the_polygons_of_an_export_are_counted_in_one_line(place):
    (line,) = blocks("How many polygons?", "sh")
    assert place.at_a_prompt(line) == (0, "2\n", "")


@needs("jq")
def test_the_slowest_stage_is_named_by_its_seconds_of_work(place):
    status, printed, _ = place.at_a_prompt(SLOWEST)
    assert (status, printed.strip() in STAGES) == (0, True)
    (script,) = blocks("Which stage was the slowest?", "sh")
    status, printed, told = place.at_a_prompt(script)
    rows = [row.split("\t") for row in printed.splitlines()[1:]]  # behind the path of the archive
    assert (status, told) == (0, "")
    assert {stage for stage, _ in rows} == STAGES
    seconds = [float(said.removesuffix(" s")) for _, said in rows]
    assert seconds == sorted(seconds, reverse=True)
    assert "<svg" in (place.folder / "log.html").read_text()


def test_every_recipe_is_run_by_a_test():
    assert [text.count("```") for text in (PAGE, README.split("## Recipes")[1].split("\n## ")[0])] == [22, 10]
