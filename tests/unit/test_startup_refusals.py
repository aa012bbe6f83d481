"""A wrong command line gets one clear sentence, what to do about it, status 2, and under NDJSON both of its lines."""

import json
import os
import subprocess
import sys

import pytest

ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("EXPORTCTL_")}


def refused(*words, **environment):
    """Return the words on standard error and the lines on standard output."""
    ended = subprocess.run(
        [sys.executable, "-m", "exportctl", *words],
        capture_output=True,
        text=True,
        env={**ENVIRONMENT, **environment},
        stdin=subprocess.DEVNULL,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 2
    return ended.stderr, ended.stdout


@pytest.mark.parametrize(
    ("words", "message", "hint"),
    [
        (["--nonsense"], "no such option: --nonsense", "exportctl --help"),
        (["rum", "x"], "no such command 'rum'. Did you mean run?", "exportctl --help"),
        (["export", "x"], "no such command 'export'. Did you mean run?", "exportctl --help"),
        (["fetch", "x"], "no such command 'fetch'. Did you mean download?", "exportctl --help"),
        (["help", "run"], "no such command 'help'. Did you mean --help?", "exportctl --help"),
        (["xyzzy"], "no such command 'xyzzy'", "exportctl --help"),
        ([""], "no such command ''", "exportctl --help"),
        (["--nonsense=1", "run", "x"], "no such option: --nonsense", "exportctl run --help"),
        (["--verbose", "run", "x"], "--verbose belongs behind the command's name", "exportctl run --verbose"),
        (["run"], "missing TARGET", "exportctl run --help"),
        (["download"], "missing JOB", "exportctl download --help"),
        (["run", "a", "b"], "one argument too many: 'b'", "exportctl run --help"),
        (["run", "x", "--progres", "none"], "no such option: --progres. Did you mean --progress?", None),
        (["run", "x", "-z"], "no such option: -z", None),
        (["run", "x", "--progress", "foo"], "--progress: 'foo' is not one of auto, bars, plain, none", None),
        (["run", "x", "--transport", "Socket"], "--transport: 'Socket' is not one of auto, socket, polling. Did", None),
        (["run", "x", "--sample-size", "0"], "--sample-size: 0 is not between 1 and 1000000", None),
        (["run", "sample", "--sample-size", "9" * 20], f"--sample-size: {'9' * 20} is not between", None),
        (["run", "x", "--sample-size", "1.5"], "--sample-size: '1.5' is not a whole number", None),
        (["run", "x", "--timeout", "soon"], "--timeout: 'soon' is not a number", None),
        (["run", "x", "--timeout"], "option '--timeout' requires an argument", "exportctl run --help"),
        (["run", "x", "--dry-run=yes"], "option '--dry-run' does not take a value", "exportctl run --help"),
        (["serve", ".", "--port", "65536"], "--port: 65536 is not between 0 and 65535", "exportctl serve --help"),
        (["completion", "tcsh"], "SHELL: 'tcsh' is not one of bash, zsh, fish", "exportctl completion --help"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_wrong_word_is_named_and_the_way_on_is_told(words, message, hint):
    told, printed = refused(*words)
    first, second = told.splitlines()
    assert first.startswith(f"exportctl: error: {message}")
    assert hint is None or second == f"  hint: {hint}"
    assert printed == ""


@pytest.mark.parametrize("quiet", ["-q", "--quiet", "-vq"])
def test_where_quiet_was_asked_for_the_refusal_is_one_line(quiet):
    told, _ = refused("run", "x", quiet, "--zzz")
    assert told == "exportctl: error: no such option: --zzz (exportctl run --help)\n"


@pytest.mark.parametrize("columns", ["24", "200"])
def test_the_sentence_is_the_same_in_every_window(columns):
    assert refused("run", COLUMNS=columns) == refused("run")


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("EXPORTCTL_PROGRESS", "foo", "EXPORTCTL_PROGRESS: 'foo' is not one of auto, bars, plain, none"),
        ("EXPORTCTL_TIMEOUT", "soon", "EXPORTCTL_TIMEOUT: 'soon' is not a number"),
        ("EXPORTCTL_NDJSON", "maybe", "EXPORTCTL_NDJSON: 'maybe' is neither yes nor no"),
    ],
)
def test_a_wrong_variable_is_named_as_it_was_written(variable, value, message):
    told, _ = refused("run", "x", **{variable: value})
    assert told.splitlines()[0] == f"exportctl: error: {message}"


@pytest.mark.parametrize(
    ("words", "environment", "command"),
    [
        (["run", "--ndjson"], {}, "run"),
        (["run", "--json", "--nonsense"], {}, "run"),
        (["--ndjson", "run", "x"], {}, "run"),
        (["--ndjson"], {}, None),
        (["rum", "--ndjson"], {}, None),
        (["run"], {"EXPORTCTL_NDJSON": "1"}, "run"),
        (["run"], {"EXPORTCTL_NDJSON": "true"}, "run"),
        ([], {"EXPORTCTL_NDJSON": "1"}, None),
    ],
    ids=str,
)
def test_under_ndjson_hello_is_first_and_result_last(words, environment, command):
    told, printed = refused(*words, **environment)
    hello, result = [json.loads(line) for line in printed.splitlines()]
    assert (hello["event"], hello["seq"], hello["command"]) == ("hello", 1, command)
    assert (result["event"], result["seq"], result["jobId"]) == ("result", 2, None)
    assert (result["outcome"], result["exitCode"], result["error"]["code"]) == ("error", 2, "USAGE")
    assert told.startswith(f"exportctl: error: {result['error']['message']}\n")


@pytest.mark.parametrize(
    ("words", "environment"),
    [
        (["run"], {"EXPORTCTL_NDJSON": ""}),
        (["run"], {"EXPORTCTL_NDJSON": "0"}),
        (["run"], {"EXPORTCTL_NDJSON": "False"}),
        (["run", "--no-such", "--", "--ndjson"], {}),
    ],
    ids=str,
)
def test_where_ndjson_was_not_asked_for_nothing_is_printed(words, environment):
    assert refused(*words, **environment)[1] == ""
