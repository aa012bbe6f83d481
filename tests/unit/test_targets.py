"""What a command speaks to: option before profile, tokens that a header can carry, and folders that are there."""

import os
from pathlib import Path

import pytest

from exportctl import config
from exportctl.commands.body.target import SAMPLE_IMAGES, embedded_project, server_settings, settings_of
from exportctl.commands.options import Connection
from exportctl.model.errors import Usage


@pytest.fixture(autouse=True)
def configured(tmp_path, monkeypatch):
    monkeypatch.setattr(config, "config_file", lambda: tmp_path / "config.toml")

    def write(text):
        (tmp_path / "config.toml").write_text(text)

    return write


class TestServer:
    def test_the_option_comes_before_the_profile(self, configured):
        configured('[default]\nserver = "https://profile.example"\nca_bundle = "p.pem"\n')
        assert settings_of(Connection()).server == "https://profile.example"
        settings = settings_of(Connection(server="https://option.example/", ca_bundle="o.pem"))
        assert (settings.server, settings.ca_bundle) == ("https://option.example", "o.pem")

    def test_without_either_it_is_the_embedded_server(self):
        assert settings_of(Connection()).server is None

    def test_embedded_wins_over_everything(self, configured):
        configured('[default]\nserver = "https://profile.example"\n')
        assert settings_of(Connection(server="https://option.example"), embedded=True).server is None

    def test_a_command_that_needs_a_server_names_the_one_for_this_machine(self):
        with pytest.raises(Usage, match="follow needs a server") as caught:
            server_settings(Connection(), "follow")
        assert (caught.value.hint, caught.value.code) == (
            "exportctl serve FOLDER runs one on this machine",
            "NO_SERVER",
        )

    def test_a_command_that_signs_in_names_itself_with_a_server(self):
        with pytest.raises(Usage, match="login needs a server") as caught:
            server_settings(Connection(), "login")
        assert caught.value.hint == "exportctl login --server https://export.example.org"

    def test_another_profile_is_another_server(self, configured):
        configured('[lab]\nserver = "https://lab.example"\n')
        assert settings_of(Connection(profile="lab")).server == "https://lab.example"


class TestToken:
    def test_an_option_comes_before_a_file_and_a_file_before_the_profile(self, configured, tmp_path):
        configured('[default]\ntoken = "of-profile"\n')
        (tmp_path / "token").write_text("of-file\n")
        assert settings_of(Connection()).token == "of-profile"
        assert settings_of(Connection(token_file=str(tmp_path / "token"))).token == "of-file"
        assert settings_of(Connection(token="of-option", token_file=str(tmp_path / "token"))).token == "of-option"

    def test_an_option_comes_before_the_environment_and_that_before_the_profile(
        self, configured, tmp_path, monkeypatch
    ):
        configured('[default]\ntoken = "of-profile"\n')
        monkeypatch.setenv("EXPORTCTL_TOKEN", "of-environment")
        (tmp_path / "token").write_text("of-file\n")
        assert settings_of(Connection()).token == "of-environment"
        assert settings_of(Connection(token_file=str(tmp_path / "token"))).token == "of-file"
        assert settings_of(Connection(token="of-option")).token == "of-option"
        monkeypatch.setenv("EXPORTCTL_TOKEN", "")
        assert settings_of(Connection()).token == "of-profile"

    def test_the_environments_email_and_password_come_before_the_profiles_token(self, configured, monkeypatch):
        configured('[default]\ntoken = "of-profile"\n')
        monkeypatch.setenv("EXPORTCTL_EMAIL", "ana@example.com")
        assert settings_of(Connection()).credentials is None, "one of the two is none"
        assert settings_of(Connection()).token == "of-profile"
        monkeypatch.setenv("EXPORTCTL_PASSWORD", "geheim")
        settings = settings_of(Connection())
        assert settings.token is None
        assert (settings.credentials.email, settings.credentials.password) == ("ana@example.com", "geheim")
        assert "geheim" not in repr(settings)
        assert settings_of(Connection(token="of-option")).token == "of-option"

    def test_a_profile_may_name_a_file_below_the_home_folder(self, configured, tmp_path, monkeypatch):
        monkeypatch.setenv("HOME", str(tmp_path))
        (tmp_path / "token").write_text("  of-home \n\n")
        configured('[default]\ntoken_file = "~/token"\n')
        assert settings_of(Connection()).token == "of-home"

    def test_none_is_none(self):
        assert settings_of(Connection()).token is None

    @pytest.mark.parametrize("token", ["zwei worte", "größe", "a\nb", "a\x00b", "a\tb", "\x1b[31m"])
    def test_what_no_header_can_carry_is_a_usage_error_that_does_not_repeat_it(self, tmp_path, token):
        (tmp_path / "token").write_text(token)
        places = [Connection(token=token), Connection(token_file=str(tmp_path / "token"))]
        for connection in places:
            with pytest.raises(Usage, match="no token") as caught:
                settings_of(connection)
            assert token not in f"{caught.value.message}{caught.value.hint}"

    def test_a_profiles_token_is_held_to_the_same(self, configured):
        configured('[default]\ntoken = "zwei worte"\n')
        with pytest.raises(Usage, match="no token"):
            settings_of(Connection())

    def test_a_file_that_is_empty_missing_or_no_text_is_a_usage_error(self, tmp_path):
        (tmp_path / "empty").touch()
        (tmp_path / "bytes").write_bytes(b"\xff\xfe")
        for name in ("empty", "bytes", "missing", "."):
            with pytest.raises(Usage, match="--token-file"):
                settings_of(Connection(token_file=str(tmp_path / name)))


class TestFolder:
    def test_the_sample_is_of_its_usual_size_or_of_the_one_asked_for(self):
        assert embedded_project("sample", sample_size=None) == {"title": "sample", "sample": SAMPLE_IMAGES}
        assert embedded_project("sample", sample_size=100) == {"title": "sample", "sample": 100}

    def test_a_folder_called_sample_is_named_with_its_dot(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        (tmp_path / "sample").mkdir()
        assert embedded_project("./sample", sample_size=None) == {"title": "sample", "folder": str(tmp_path / "sample")}

    @pytest.mark.parametrize("name", ["nuclei", "Zellkerne Größe 1", "it's", "細胞"])
    def test_a_folder_is_a_project_titled_by_its_name(self, tmp_path, name):
        (tmp_path / name).mkdir()
        for text in (str(tmp_path / name), str(tmp_path / name) + "/"):
            assert embedded_project(text, sample_size=None) == {"title": name, "folder": str(tmp_path / name)}

    def test_here_is_titled_by_its_name_too(self, tmp_path, monkeypatch):
        (tmp_path / "here").mkdir()
        monkeypatch.chdir(tmp_path / "here")
        assert embedded_project(".", sample_size=None)["title"] == "here"

    def test_the_root_has_a_title(self):
        assert embedded_project("/", sample_size=None) == {"title": "export", "folder": "/"}

    @pytest.mark.parametrize("text", ["", "missing", "missing/deeper", "x" * 300, "\x00", "file/inner"])
    def test_what_is_not_there_is_a_usage_error(self, tmp_path, monkeypatch, text):
        monkeypatch.chdir(tmp_path)
        (tmp_path / "file").touch()
        with pytest.raises(Usage, match="no such folder") as caught:
            embedded_project(text, sample_size=None)
        assert (caught.value.code, caught.value.exit_status) == ("NO_SUCH_FOLDER", 2)

    def test_a_folder_that_was_taken_away_from_under_the_command_is_told(self, tmp_path, monkeypatch):
        gone = tmp_path / "gone"
        gone.mkdir()
        monkeypatch.chdir(gone)
        gone.rmdir()
        with pytest.raises(Usage, match="the folder that this command was called in is gone") as caught:
            embedded_project(".", sample_size=None)
        assert caught.value.exit_status == 2

    def test_a_file_is_no_folder(self, tmp_path):
        (tmp_path / "image.png").touch()
        with pytest.raises(Usage, match="no folder"):
            embedded_project(str(tmp_path / "image.png"), sample_size=None)

    def test_a_size_is_for_the_sample_only(self, tmp_path):
        with pytest.raises(Usage, match="--sample-size"):
            embedded_project(str(tmp_path), sample_size=3)

    def test_a_folder_whose_name_is_no_utf8_is_refused_in_printable_words(self, tmp_path):
        path = os.fsdecode(os.fsencode(tmp_path) + b"/\xff")
        try:
            Path(path).mkdir()
        except OSError:
            pytest.skip("this file system takes no such name")
        with pytest.raises(Usage, match="UTF-8") as caught:
            embedded_project(path, sample_size=None)
        caught.value.message.encode()
