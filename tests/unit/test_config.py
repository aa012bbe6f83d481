"""Profiles: what the configuration file says, and what is wrong with it, in words."""

import os
from pathlib import Path

import pytest

from exportctl import config
from exportctl.config import Profile, load_profile, state_folder, unknown_words
from exportctl.model.errors import Usage


@pytest.fixture
def configured(tmp_path, monkeypatch):
    monkeypatch.setattr(config, "config_file", lambda: tmp_path / "config.toml")

    def write(text):
        (tmp_path / "config.toml").write_bytes(text if isinstance(text, bytes) else text.encode())

    return write


@pytest.mark.usefixtures("configured")
def test_without_a_file_the_default_profile_says_nothing():
    assert load_profile("default") == Profile()


def test_a_profile_says_what_stands_in_its_table(configured):
    configured(
        '[default]\nserver = "https://a"\n[lab]\nserver = "https://b"\ntoken_file = "~/t"\nca_bundle = "c"\nother = 3\n'
    )
    assert load_profile("default") == Profile(server="https://a")
    assert load_profile("lab") == Profile(server="https://b", token_file="~/t", ca_bundle="c")


def test_a_file_without_the_default_profile_is_fine(configured):
    configured('[lab]\nserver = "https://b"\n')
    assert load_profile("default") == Profile()


@pytest.mark.parametrize("text", ["", '[lab]\n[office]\nserver = "x"\n'])
def test_an_unknown_profile_is_a_usage_error_that_lists_the_known(configured, text):
    configured(text)
    with pytest.raises(Usage, match="'labb'") as caught:
        load_profile("labb")
    assert caught.value.hint == ("known: lab, office" if text else "known: none")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("server = x\n", "no TOML.*line 1"),
        ("[default]\n\nserver = x\n", "line 3"),
        (b'[default]\nserver = "\xff"\n', "no TOML"),
        ("default = 3", "default is no table"),
        ("[default]\nserver = 3", r"server of \[default\] is no string \(at line 2\)"),
        ('[default]\ntoken = ["x"]', r"token of \[default\] is no string"),
    ],
)
def test_a_broken_file_is_explained_with_its_name_and_line(configured, tmp_path, text, words):
    configured(text)
    with pytest.raises(Usage, match=words) as caught:
        load_profile("default")
    assert str(tmp_path / "config.toml") in caught.value.message


def test_a_token_is_not_quoted_in_an_error(configured):
    configured('[default]\ntoken = "geheim\nserver = "x"\n')
    with pytest.raises(Usage) as caught:
        load_profile("default")
    assert "geheim" not in f"{caught.value.message}{caught.value.hint}"


@pytest.mark.usefixtures("configured")
def test_a_folder_in_the_files_place_is_a_usage_error(tmp_path):
    (tmp_path / "config.toml").mkdir()
    with pytest.raises(Usage, match="cannot be read"):
        load_profile("default")


def test_the_places_are_the_platforms(monkeypatch, tmp_path):
    monkeypatch.delenv("EXPORTCTL_STATE", raising=False)
    if os.uname().sysname == "Linux":
        monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
        monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
        assert config.config_file() == tmp_path / "config" / "exportctl" / "config.toml"
        assert state_folder() == tmp_path / "state" / "exportctl"
    assert isinstance(state_folder(), Path)


def test_state_can_be_turned_off(monkeypatch):
    monkeypatch.setenv("EXPORTCTL_STATE", "off")
    assert state_folder() is None


class TestSessions:
    @pytest.fixture(autouse=True)
    def state(self, tmp_path, monkeypatch):
        monkeypatch.setattr(config, "state_folder", lambda: tmp_path / "state")

    @pytest.mark.parametrize("name", ["default", "lab", "../../etc/passwd", "a/b", "..", "", "größe", "a b"])
    def test_every_profile_has_a_file_of_its_own_in_one_folder(self, tmp_path, name):
        assert config.session_file(name).parent == tmp_path / "state" / "sessions"
        assert config.session_file(name) != config.session_file(name + "x")

    @pytest.mark.usefixtures("configured")
    def test_a_profile_exists_when_a_session_is_kept_for_it(self):
        with pytest.raises(Usage):
            load_profile("lab")
        assert load_profile("lab", may_be_new=True) == Profile()
        config.session_file("lab").parent.mkdir(parents=True)
        config.session_file("lab").touch()
        assert load_profile("lab") == Profile()
        with pytest.raises(Usage):
            load_profile("x" * 300)

    def test_a_kept_session_does_not_hide_what_stands_in_the_file(self, configured):
        configured('[lab]\nserver = "https://b"\n')
        assert load_profile("lab", may_be_new=True) == Profile(server="https://b")


class TestHomeless:
    """Nothing says where home is: no HOME, and no entry for the user (a container with an arbitrary user id)."""

    @pytest.fixture(autouse=True)
    def nowhere(self, monkeypatch):
        for name in ("HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME", "EXPORTCTL_STATE"):
            monkeypatch.delenv(name, raising=False)

        def unknown(_uid):
            raise KeyError

        monkeypatch.setattr("pwd.getpwuid", unknown)

    def test_nothing_is_kept(self):
        assert state_folder() is None
        assert config.session_file("default") is None

    def test_no_file_of_the_current_folder_is_taken_for_the_configuration(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        place = tmp_path / config.config_file()
        place.parent.mkdir(parents=True)
        place.write_text('[default]\nserver = "https://a"\n')
        assert load_profile("default") == Profile()


def test_words_that_mean_nothing_are_named_with_their_line_and_never_with_their_value(configured):
    configured('token = "geheim"\n[default]\nserver = "https://a"\n\n["lab"]\ntokn = "geheim"\n')
    assert unknown_words() == [
        "token stands in no table",
        "tokn of [lab] means nothing (at line 6), did you mean token?",
    ]
    configured('[default]\nserver = "https://a"\n')
    assert unknown_words() == []


def test_a_profiles_token_is_in_no_repr():
    assert "geheim" not in repr(Profile(token="geheim"))
