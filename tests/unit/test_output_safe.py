"""Text of others does nothing to a terminal, and takes the columns that it is said to take."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tqdm.utils import disp_len

from exportctl.output.safe import first_line, isolated, shorten, shorten_middle, visible, width, width_at_most


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("cell_001.jpg", "cell_001.jpg"),
        ("bu\u0148ka \u010d. 1.jpg", "bu\u0148ka \u010d. 1.jpg"),
        ("bun\u030cka", "bu\u0148ka"),
        ("\x1b[2J", r"\e[2J"),
        ("\x1b]0;title\x07", r"\e]0;title\x07"),
        ("a\nb\r\tc", r"a\nb\r\tc"),
        ("\x9b31m", r"\x9b31m"),
        ("gpj.\u202eexe", r"gpj.\u202eexe"),
        ("\u2066a\u2069", r"\u2066a\u2069"),
        ("a\u200bb\ufeffc\u200d", r"a\u200bb\ufeffc\u200d"),
        ("line\u2028break", r"line\u2028break"),
        ("tag\U000e0041", r"tag\U000e0041"),
        ("no\u00a0break", "no break"),
        ("lone\ud800", r"lone\ud800"),
        ("細胞", "細胞"),
    ],
)
def test_what_a_terminal_would_obey_or_hide_is_spelled_out(text, shown):
    assert visible(text) == shown


@pytest.mark.parametrize("name", ["תאים_12.png", "خلايا 5", "cell_ש.png"])
def test_a_name_from_right_to_left_keeps_its_direction_to_itself_and_takes_no_more_columns(name):
    shown = isolated(visible(name))
    assert shown == f"\u2068{name}\u2069"
    assert width(shown) == width(visible(name))
    assert width_at_most(shown) == disp_len(shown)


@pytest.mark.parametrize("name", ["cell_001.png", "buňka", "細胞", "", r"gpj.\u202eexe"])
def test_a_name_as_most_is_left_as_it_is(name):
    assert isolated(name) == name


@given(st.text())
def test_marks_of_direction_are_ours_and_come_in_pairs(text):
    shown = isolated(visible(text))
    assert [char for char in shown if char in "\u2066\u2067\u2068\u2069\u202a\u202b\u202d\u202e"] in (
        [],
        ["\u2068", "\u2069"],
    )


def test_a_terminal_without_unicode_gets_ascii():
    assert visible("buňka 細", ascii_only=True) == r"bu\u0148ka \u7d30"


@given(st.text(st.characters(exclude_categories=[])))
def test_nothing_but_printing_characters_is_left(text):
    shown = visible(text)
    assert shown.isprintable()
    assert not any(unicodedata.category(char) in {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"} for char in shown)
    assert visible(text, ascii_only=True).isascii()
    assert visible(shown) == shown


@given(st.text())
def test_the_cautious_width_is_what_tqdm_counts_and_never_below_the_true_one(text):
    shown = visible(text)
    assert width_at_most(shown) == disp_len(shown)
    assert width(shown) <= width_at_most(shown)


@pytest.mark.parametrize(
    ("text", "columns"), [("abc", 3), ("buňka", 5), ("細胞", 4), ("e\u0301", 1), ("x\u0320", 1), ("हिन्दी", 5), ("", 0)]
)
def test_width_counts_what_is_seen(text, columns):
    assert width(visible(text)) == columns


@pytest.mark.parametrize(
    ("columns", "end", "middle"),
    [
        (12, "cell_001.jpg", "cell_001.jpg"),
        (11, "cell_001.j…", "cel…001.jpg"),
        (5, "cell…", "c…jpg"),
        (1, "…", "…"),
        (0, "", ""),
        (-3, "", ""),
    ],
)
def test_a_long_name_is_cut_to_the_columns_given(columns, end, middle):
    assert shorten("cell_001.jpg", columns) == end
    assert shorten_middle("cell_001.jpg", columns) == middle


@given(st.text(max_size=40), st.integers(-1, 30), st.sampled_from(["…", "..."]))
def test_a_cut_text_never_exceeds_its_columns(text, columns, ellipsis):
    shown = visible(text)
    for cut in (shorten(shown, columns, ellipsis=ellipsis), shorten_middle(shown, columns, ellipsis=ellipsis)):
        assert width_at_most(cut) <= max(columns, 0)
        if width_at_most(shown) <= columns:
            assert cut == shown


def test_of_many_lines_the_first_that_says_something_is_kept():
    assert first_line("\n  disk full\n  at /srv/x.js:12\n", limit=80) == "disk full …"
    assert first_line("one", limit=80) == "one"
    assert first_line("", limit=80) == ""
    assert first_line("x" * 100, limit=10) == "xxxxxxxxx…"
