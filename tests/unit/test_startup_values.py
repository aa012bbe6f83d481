"""A command's own conversion of words gives what typer's gives, and refuses what it refuses."""

from typing import Annotated, Literal

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from typer.core import TyperCommand

from exportctl.commands.declared import Declared, converted


def parsed(cls, words, monkeypatch=None, **environment):
    """Return the values that a command of this class is called with, None where the words are refused."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    got = {}

    def command(
        *,
        jobs: Annotated[list[str] | None, typer.Argument()] = None,
        mode: Annotated[Literal["auto", "none"], typer.Option(envvar="T_MODE")] = "auto",
        number: Annotated[int | None, typer.Option("-n", "--number", min=1, max=9, envvar="T_NUMBER")] = None,
        seconds: Annotated[float | None, typer.Option(envvar="T_SECONDS")] = None,
        rate: Annotated[float, typer.Option(min=0.1)] = 2.0,
        select: Annotated[list[str] | None, typer.Option()] = None,
        docs: Annotated[bool | None, typer.Option("--docs/--no-docs")] = None,
        quiet: Annotated[bool, typer.Option("-q", envvar="T_QUIET")] = False,
        verbose: Annotated[int, typer.Option("-v", count=True)] = 0,
        text: Annotated[str, typer.Option(envvar="T_TEXT")] = "",
    ):
        got.update(locals())
        del got["got"]

    app = typer.Typer(add_completion=False, rich_markup_mode=None)
    app.command(cls=cls)(command)
    try:
        app(args=list(words), standalone_mode=False)
    except typer.TyperException:
        return None
    return got


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["a", "b"],
        ["--mode", "none"],
        ["--mode=auto"],
        ["--mode", "None"],
        ["--mode", ""],
        ["-n", "3"],
        ["-n3"],
        ["-n", "0"],
        ["-n", "10"],
        ["-n", "3.5"],
        ["-n", "x"],
        ["-n", "-1"],
        ["--seconds", "1e3"],
        ["--seconds", "-2"],
        ["--seconds", ".5"],
        ["--seconds", "soon"],
        ["--rate", "0.05"],
        ["--rate", "0.1"],
        ["--select", "a", "--select", ""],
        ["--docs"],
        ["--no-docs"],
        ["--docs", "--no-docs"],
        ["-q"],
        ["-vvq"],
        ["--text", "buňka"],
        ["--", "--text"],
        ["--unknown"],
        ["-n"],
        ["--docs=yes"],
    ],
    ids=" ".join,
)
def test_words_become_the_values_that_typer_would_make(words):
    assert parsed(Declared, words) == parsed(TyperCommand, words)


@pytest.mark.parametrize(
    "environment",
    [
        {"T_MODE": "none"},
        {"T_MODE": "foo"},
        {"T_NUMBER": "4"},
        {"T_NUMBER": "40"},
        {"T_NUMBER": ""},
        {"T_SECONDS": "0.5"},
        {"T_TEXT": ""},
        {"T_TEXT": "x"},
        *(
            {"T_QUIET": said}
            for said in ("1", "0", "true", "FALSE", "Yes", "no", "on", "off", "y", "N", "", " ", "maybe")
        ),
    ],
    ids=str,
)
def test_the_environment_becomes_the_values_that_typer_would_make(environment, monkeypatch):
    assert parsed(Declared, [], monkeypatch, **environment) == parsed(TyperCommand, [], monkeypatch, **environment)


def test_the_command_line_wins_over_the_environment(monkeypatch):
    assert parsed(Declared, ["--mode", "auto"], monkeypatch, T_MODE="foo")["mode"] == "auto"


@pytest.mark.parametrize("word", ["nan", "inf", "-Infinity"])
def test_a_number_of_seconds_is_finite(word):
    with pytest.raises(ValueError, match="is not a number"):
        converted(float, word)


@given(st.sampled_from([int, float, bool, Literal["auto", "none"]]), st.text(max_size=12))
def test_any_word_is_converted_or_refused_in_words(annotation, word):
    refused = None
    try:
        converted(annotation, word)
    except ValueError as error:
        refused = str(error)
    assert refused is None or repr(word) in refused


def test_a_type_that_nothing_converts_is_a_bug_and_not_a_guess():
    with pytest.raises(TypeError):
        converted(complex, "1j")
