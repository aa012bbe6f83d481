"""What is offered at the cursor, in whichever shell: asked the way that the scripts ask."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exportctl.commands.app import COMMANDS
from exportctl.startup.answers import SCRIPTS
from exportctl.startup.completing import complete, table


@pytest.fixture(autouse=True)
def _knows_no_jobs(monkeypatch):
    monkeypatch.setenv("EXPORTCTL_STATE", "off")


def offered(*words, shell="fish"):
    added, *lines = complete(shell, list(words)).splitlines()
    return added, [line.partition("\t")[0] for line in lines]


def test_the_first_word_is_a_command_and_its_meaning_is_told():
    assert offered("") == ("none", list(COMMANDS))
    assert f"run\t{COMMANDS['run']}\n" in complete("zsh", [""])


@pytest.mark.parametrize(
    ("words", "added", "expected"),
    [
        (["-"], "none", ["--version", "--help", "-h"]),
        (["run", ""], "folders", ["sample"]),
        (["run", "./im"], "folders", ["sample"]),
        (["run", "--progress", ""], "none", ["auto", "bars", "plain", "none"]),
        (["run", "--progress=b"], "none", [f"--progress={word}" for word in ("auto", "bars", "plain", "none")]),
        (["run", "x", "--on-interrupt", ""], "none", ["cancel", "detach"]),
        (["run", "-o", ""], "files", []),
        (["run", "-qo", ""], "files", []),
        (["run", "-o", "--progress", ""], "folders", ["sample"]),
        (["run", "--events", ""], "files", []),
        (["run", "--events=x"], "files", []),
        (["run", "--sample-size", ""], "none", []),
        (["run", "--quiet=x"], "none", []),
        (["run", "--unknown=x"], "none", []),
        (["run", "--annotations", ""], "none", ["coco", "yolo", "json", "none"]),
        (["run", "--annotations", "yolo,"], "none", ["yolo,coco", "yolo,json"]),
        (["run", "--", "-"], "folders", ["sample"]),
        (["run", "--", "x", ""], "none", []),
        (["start", ""], "none", []),
        (["serve", "a", "b", ""], "folders", []),
        (["serve", "--state", ""], "folders", []),
        (["status", ""], "none", []),
        (["completion", ""], "none", list(SCRIPTS)),
        (["completion", "zsh", ""], "none", ["--help", "-h"]),
        (["nonsense", ""], "none", []),
        (["../help/run", ""], "none", []),
    ],
    ids=" ".join,
)
def test_what_fits_at_the_cursor_is_offered(words, added, expected):
    assert offered(*words) == (added, expected)


def test_an_option_is_offered_once_under_all_its_names_unless_it_may_be_repeated():
    _, options = offered("run", "x", "-q", "--json", "--select", "a", "-v", "-")
    assert not {"-q", "--quiet", "--json", "--ndjson"} & set(options)
    assert {"--select", "-v", "--verbose", "--output", "-o"} <= set(options)


def test_options_are_offered_where_nothing_else_can_stand():
    assert "--progress" in offered("run", "sample", "")[1]


def test_bash_gets_only_what_fits_its_word():
    assert offered("run", "--pro", shell="bash") == ("none", ["--progress", "--profile"])
    assert offered("run", "'sam", shell="bash") == ("folders", ["sample"])


@pytest.mark.parametrize("words", [["--progress", "=", "b"], ["--progress", "="], ["--quiet", "--progress", "=", "b"]])
def test_bash_s_word_in_pieces_gets_the_last_piece(words):
    expected = ["bars"] if words[-1] == "b" else ["auto", "bars", "plain", "none"]
    assert offered("run", *words, shell="bash") == ("none", expected)


def test_bash_s_word_in_one_piece_gets_the_whole_word():
    assert offered("run", "--progress=b", shell="bash") == ("none", ["--progress=bars"])


def test_an_equals_sign_of_its_own_is_a_word_like_others():
    assert offered("run", "=", "--pro", shell="bash") == ("none", ["--progress", "--profile"])


def test_zsh_gets_what_stands_behind_the_sign():
    assert offered("run", "--transport=", shell="zsh") == ("none", ["auto", "socket", "polling"])


@given(st.sampled_from(["bash", "zsh", "fish", "?"]), st.data())
def test_any_words_get_an_answer_that_the_scripts_can_read(shell, data):
    known = [name for command in ("exportctl", "run", "serve") for row in table(command) for name in row.names]
    word = st.one_of(st.sampled_from([*known, "=", "-", "--", "-qo", "--select="]), st.text(max_size=6))
    answer = complete(shell, data.draw(st.lists(word, max_size=8)))
    assert answer.endswith("\n")
    added, *lines = answer[:-1].split("\n")
    assert added in {"none", "files", "folders"}
    assert all(line.count("\t") == 1 for line in lines)
