"""`serve` by file and environment: the nearer one counts, and what is wrong is named with its line."""

from pathlib import Path

import pytest
import typer

from exportctl.commands.app import load
from exportctl.commands.configured import misspelt

PAGE = Path(__file__).parents[2] / "docs" / "serving.md"


@pytest.fixture
def asked(monkeypatch):
    """Parse the words of `serve`; returns the values that it would be called with."""

    def parse(*words, **environment):
        for name, value in environment.items():
            monkeypatch.setenv(f"EXPORTCTL_SERVE_{name}", value)
        command = load("serve")
        with command.make_context("serve", list(words)) as context:
            return context.params

    return parse


@pytest.fixture
def file(tmp_path):
    def write(text):
        path = tmp_path / "serve.toml"
        path.write_text(text)
        return str(path)

    return write


def test_the_command_line_goes_before_the_environment_and_that_before_the_file(asked, file):
    path = file("jobs = 1\nworkers = 2\njobs_per_user = 3\n")
    got = asked("--config", path, "--jobs", "7", WORKERS="8", JOBS="9")
    assert (got["jobs"], got["workers"], got["jobs_per_user"], got["jobs_at_once"]) == (7, 8, 3, 8)


def test_every_setting_has_a_key_and_a_variable(asked, file, tmp_path):
    path = file(
        'folders = ["plates", "/srv/controls"]\ntoken = ["a", "b"]\nallow-plain-http = true\nstate = "kept"\n'
        'log_format = "json"\narchives-days = 0.5\narchives_limit = "5G"\n'
    )
    got = asked(CONFIG=path)
    assert got["folders"] == [str(tmp_path / "plates"), "/srv/controls"]
    assert (got["token"], got["allow_plain_http"], got["log_format"]) == (["a", "b"], True, "json")
    assert (got["state"], got["archives_days"], got["archives_limit"]) == (str(tmp_path / "kept"), 0.5, "5G")
    got = asked(FOLDERS="a b:/c", TOKEN="x y", ACCESS_LOG="yes", PORT="0")
    assert (got["folders"], got["token"], got["access_log"], got["port"]) == (["a b", "/c"], ["x", "y"], True, 0)


def test_who_asks_about_users_is_told_by_the_same_file_where_they_are(asked, file, tmp_path):
    got = asked("--list-users", "--config", file('folders = ["plates"]\nstate = "kept"\n'), FOLDERS="x")
    assert (got["folders"], got["state"]) == (None, str(tmp_path / "kept"))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("jobs = 1\n\nprot = 1\n", "line 3: unknown key prot. Did you mean port?"),
        ("[serve]\nport = 1\n", "line 1: unknown key serve"),
        ("xyzzy = 1", "line 1: unknown key xyzzy; known: access_log, "),
        ("# all\nport = 70000", "line 2: port: 70000 is not between 0 and 65535"),
        ('port = "eighty"', "line 1: port: 'eighty' is not a whole number"),
        ("port = 2026-11-24", "line 1: port is no text and no number"),
        ("access_log = 1", "line 1: access_log is either true or false"),
        ('log-format = "yaml"', "line 1: log-format: 'yaml' is not one of text, json"),
        ("port = ", "is no TOML: Invalid value (at end of document)"),
        ("jobs = 1\nport == 1", "is no TOML: Invalid value (at line 2, column 7)"),
        ('add_user = "ana"', "line 1: add_user is no setting; it belongs on the command line"),
        ("\narchives_limit = '5X'", "line 2: archives_limit: '5X' is no amount; it is one at least, as 500G"),
        ("max_pixels = 0", "line 1: max_pixels: '0' is no amount; it is one at least, as 500M"),
        ("max-images = 1\nmax_images = 2", "line 2: max_images is there twice"),
    ],
)
def test_what_is_wrong_in_the_file_is_named_with_its_line(asked, file, text, says):
    with pytest.raises(typer.TyperException) as refused:
        asked("--config", file(text))
    assert says in refused.value.format_message()


def test_a_wrong_variable_and_a_missing_file_are_named(asked, tmp_path):
    with pytest.raises(typer.TyperException) as refused:
        asked("--config", str(tmp_path / "none.toml"))
    assert "none.toml cannot be read: No such file or directory" in refused.value.format_message()
    with pytest.raises(typer.TyperException) as refused:
        asked(WORKERS="0")
    assert "EXPORTCTL_SERVE_WORKERS: 0 is not between 1 and 512" in refused.value.format_message()


def test_a_variable_that_looks_like_a_setting_and_is_none_is_named_and_no_error(monkeypatch):
    known = ["port", "max_bytes"]
    for name in ("PORT", "MAX_BYTES", "PROT", "SERVICE_HOST"):
        monkeypatch.setenv(f"EXPORTCTL_SERVE_{name}", "1")
    assert misspelt(known) == [
        "EXPORTCTL_SERVE_PROT is no setting. Did you mean EXPORTCTL_SERVE_PORT?",
        "EXPORTCTL_SERVE_SERVICE_HOST is no setting",
    ]


def test_the_page_for_operators_names_every_setting():
    page = PAGE.read_text("utf-8")
    command = load("serve")
    with command.make_context("serve", [], resilient_parsing=True) as context:
        names = {param.name for param in command.get_params(context)} - {"help"}
    assert [
        name for name in sorted(names) if f"`{name}`" not in page and f"--{name}".replace("_", "-") not in page
    ] == []
