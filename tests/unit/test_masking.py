"""Frames can be shown to anybody: what signs in is hidden, whatever it is called and however it is cut."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exportctl.output.masking import hidden, masked

SECRET = "s3cr3t-v4lue"


@pytest.mark.parametrize(
    "key", ["token", "access_token", "refreshToken", "PASSWORD", "Authorization", "Set-Cookie", "sid"]
)
def test_the_value_of_a_key_that_names_a_secret_is_hidden(key):
    for frame in (f"40{json.dumps({key: SECRET})}", f'42["auth",{json.dumps({"a": [{key: SECRET}], "b": 1})}]'):
        assert SECRET not in masked(frame)
        assert key in masked(frame)


def test_what_is_no_secret_is_shown():
    frame = '42["export:progress",{"jobId":"j","progress":41.5,"message":"a \\"token\\" of it"}]'
    assert masked(frame) == frame


def test_a_frame_that_was_cut_hides_its_beginning_of_a_secret_too():
    assert SECRET[:6] not in masked(f'40{{"token":"{SECRET[:6]}')


def test_the_secrets_themselves_are_hidden_wherever_they_stand():
    assert masked(f'42["x","Bearer {SECRET} and {SECRET}"]', (SECRET, "")) == '42["x","Bearer *** and ***"]'


@pytest.mark.parametrize(
    ("secret", "text", "shown"),
    [
        ("a", 'a cell, "a" of cells', '*** cell, "***" of cells'),
        ("ab1", "ab1c ab1 (ab1)", "ab1c *** (***)"),
        (SECRET, f"x{SECRET}x", "x***x"),
        ("p+w d/%&", "https://h/?t=p%2Bw%20d%2F%25%26", "https://h/?t=***"),
        ('q"uo\\te', json.dumps({"said": 'q"uo\\te'}), '{"said": "***"}'),
    ],
)
def test_a_short_secret_is_hidden_where_it_stands_by_itself_and_a_long_one_everywhere(secret, text, shown):
    assert hidden(text, (secret,)) == shown


def test_bytes_are_counted():
    assert masked(b"123") == "3 bytes"


@given(st.text(), st.text())
def test_no_frame_is_an_error(frame, secret):
    shown = masked(frame, (secret,))
    assert isinstance(shown, str)
