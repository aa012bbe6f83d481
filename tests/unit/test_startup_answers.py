"""Help, version and completions are answered at once, say what typer would say, and import nothing for it."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from exportctl.commands.app import COMMANDS, app
from exportctl.commands.prepare import STARTUP, prepared

# What the console script of an installed wheel does, whichever installer wrote it.
SCRIPT = "import sys; from exportctl.__main__ import main; sys.exit(main())"
PREPARED = prepared()
ANSWERED = [
    ["--version"],
    [],
    ["--help"],
    ["-h"],
    ["run", "--help"],
    ["serve", "-h"],
    ["completion", "zsh"],
    ["__complete", "bash", "run", "--pro"],
]
HEAVY = {"asyncio", "cv2", "httpx", "numpy", "orjson", "pydantic", "rich", "socketio", "sqlite3", "ssl"}


def exportctl(*words, python=(), **environment):
    return subprocess.run(
        [sys.executable, *python, "-c", SCRIPT, *words],
        capture_output=True,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        timeout=60,
        check=False,
    )


def imported(*words):
    told = exportctl(*words, python=["-X", "importtime"]).stderr.decode()
    return set(re.findall(r"^import time:.*\| *([\w.]+)$", told, re.MULTILINE))


def bare():
    told = subprocess.run([sys.executable, "-X", "importtime", "-c", "pass"], capture_output=True, check=True)
    return set(re.findall(r"^import time:.*\| *([\w.]+)$", told.stderr.decode(), re.MULTILINE))


@pytest.mark.parametrize("path", PREPARED, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_the_prepared_files_are_what_the_commands_say_now(path):
    assert path.read_text("utf-8") == PREPARED[path], "run: python -m exportctl.commands.prepare"


def test_no_prepared_file_is_of_a_command_that_is_gone():
    folders = [STARTUP / "help", STARTUP / "tables"]
    assert {file for folder in folders for file in folder.iterdir()} == {
        path for path in PREPARED if path.parent in folders
    }


@pytest.mark.parametrize("words", ANSWERED, ids=" ".join)
def test_an_answer_imports_nothing_but_the_room_it_lies_in(words):
    allowed = {"exportctl", "exportctl.__main__", "exportctl.startup", "exportctl.startup.answers"}
    if words[:1] == ["__complete"]:
        allowed.add("exportctl.startup.completing")
    assert imported(*words) - bare() <= allowed


def test_help_among_other_words_imports_no_network_and_nothing_that_exports():
    found = {name.partition(".")[0] for name in imported("run", "x", "--help")}
    assert "typer" in found
    assert not found & HEAVY


def test_a_command_runs_without_the_model_library_that_typer_would_convert_its_values_by():
    words = ["run", "./no-such-folder", "--timeout", "3", "--progress", "none", "--select", "a", "-v", "--ndjson"]
    found = {name.partition(".")[0] for name in imported(*words)}
    assert "httpx" in found
    assert not found & {"pydantic", "socketio", "cv2", "numpy", "rich"}


@pytest.mark.parametrize("words", [["status", "p/j"], ["download", "p/j"], ["projects"]], ids=" ".join)
def test_a_command_that_follows_nothing_imports_no_socket(words):
    found = {name.partition(".")[0] for name in imported(*words, "--server", "no URL")}
    assert "httpx" in found
    assert not found & {"anyio", "httpx_ws", "wsproto", "rich"}


@pytest.mark.parametrize("columns", ["24", "80", "200"])
def test_help_is_the_same_in_every_window_and_at_every_place(columns):
    expected = (STARTUP / "help" / "run.txt").read_bytes()
    for words in (["run", "--help"], ["run", "x", "-h"], ["run", "--ndjson", "--help"]):
        ended = exportctl(*words, COLUMNS=columns)
        assert (ended.returncode, ended.stdout, ended.stderr) == (0, expected, b"")


@pytest.mark.parametrize("words", [["--help"], ["--version"]])
def test_typer_answers_the_same_where_it_is_asked(words, capsys):
    typer.main.get_command(app).main(args=words, prog_name="exportctl", standalone_mode=False)
    assert capsys.readouterr().out.encode() == exportctl(*words).stdout


@pytest.mark.parametrize("command", ["exportctl", *COMMANDS])
def test_help_fits_80_columns_and_ends_in_examples(command):
    text = (STARTUP / "help" / f"{command}.txt").read_text("utf-8")
    assert max(map(len, text.splitlines())) <= 80
    if command != "exportctl":
        examples = text.partition("\nExamples:\n")[2].splitlines()
        assert len(examples) >= 2
        assert all(f"exportctl {command}" in example for example in examples)


def test_the_list_of_commands_shows_each_description_whole():
    text = (STARTUP / "help" / "exportctl.txt").read_text("utf-8")
    for name, said in COMMANDS.items():
        assert re.search(rf"^  {name} +{re.escape(said)}$", text, re.MULTILINE)


@pytest.mark.parametrize("ndjson", ["", "0", "False"])
def test_without_a_command_the_help_is_printed(ndjson):
    ended = exportctl(EXPORTCTL_NDJSON=ndjson)
    assert (ended.returncode, ended.stdout) == (0, exportctl("--help").stdout)


def test_without_a_command_a_script_that_wants_ndjson_gets_an_error():
    ended = exportctl(EXPORTCTL_NDJSON="1")
    assert ended.returncode == 2
    assert [b'"event":"hello"' in line or b'"event":"result"' in line for line in ended.stdout.splitlines()] == [
        True
    ] * 2


def test_a_closed_pipe_ends_the_answer_by_its_signal():
    source, sink = os.pipe()
    os.close(source)
    ended = subprocess.run([sys.executable, "-c", SCRIPT, "--help"], stdout=sink, stderr=subprocess.PIPE, check=False)
    os.close(sink)
    assert (ended.returncode, ended.stderr) == (-signal.SIGPIPE, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_an_answer_that_cannot_be_written_is_an_error():
    with Path("/dev/full").open("wb") as full:
        ended = subprocess.run([sys.executable, "-c", SCRIPT, "-h"], stdout=full, stderr=subprocess.PIPE, check=False)
    assert ended.returncode == 11
    assert ended.stderr == b"exportctl: error: cannot write to standard output: No space left on device\n"


def test_a_terminal_of_few_letters_gets_the_help_all_the_same():
    ended = exportctl("status", "--help", PYTHONIOENCODING="ascii")
    assert ended.returncode == 0
    assert b"exportctl status" in ended.stdout


@pytest.mark.parametrize("word", ["../help/run", "..", "", "run.txt"])
def test_no_word_reaches_a_file_that_is_not_a_command_s(word):
    assert exportctl(word, "--help").returncode == 2
