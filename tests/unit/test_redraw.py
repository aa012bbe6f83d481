"""Lines drawn again in place."""

import os

import pytest

from exportctl.output.redraw import Redraw


@pytest.fixture
def window(monkeypatch):
    size = {"columns": 20, "lines": 5}
    monkeypatch.setattr("shutil.get_terminal_size", lambda: os.terminal_size((size["columns"], size["lines"])))
    return size


@pytest.mark.usefixtures("window")
def test_each_drawing_begins_where_the_one_before_began():
    put = []
    redraw = Redraw(put=put.append)
    redraw.draw(["a", "b"])
    redraw.draw(["c"])
    redraw.draw(["d", "e", "f"])
    assert put == ["\x1b[Ja\nb\n", "\x1b[2F\x1b[Jc\n", "\x1b[1F\x1b[Jd\ne\nf\n"]


@pytest.mark.usefixtures("window")
def test_it_never_takes_more_than_the_window():
    put = []
    Redraw(put=put.append).draw([*"abcdefg", "x" * 30])
    [shown] = put
    assert shown == "\x1b[Ja\nb\nc\n… 5 more\n"


def test_a_line_is_never_wider_than_the_window(window):
    put = []
    window["columns"] = 10
    Redraw(put=put.append).draw(["x" * 30, "画" * 30])
    assert [len(line) for line in put[0].removeprefix("\x1b[J").splitlines()] == [10, 5]


@pytest.mark.usefixtures("window")
def test_after_others_have_written_it_is_drawn_below():
    put = []
    redraw = Redraw(put=put.append)
    redraw.draw(["a", "b"])
    redraw.forget()
    redraw.draw(["a", "b"])
    assert put[1] == "\x1b[Ja\nb\n"
