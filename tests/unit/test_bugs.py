"""What nobody foresaw is told in words with the way to report it, and the traceback to who asks for it."""

import pytest

from exportctl.commands.app import run


@pytest.mark.parametrize("debug", ["", "1"])
def test_a_bug_outside_of_a_session_is_told_like_any_error(tmp_path, monkeypatch, capfd, debug):
    def breaks(_projects):
        raise TypeError("7")

    monkeypatch.setenv("EXPORTCTL_DEBUG", debug)
    monkeypatch.setattr("exportctl.commands.body.serve.projects_of", breaks)
    assert run(["serve", str(tmp_path), "--state", str(tmp_path / "state")]) == 1
    told = capfd.readouterr().err
    assert "exportctl: error: unexpected TypeError: 7\n  hint: please report it" in told
    assert ("Traceback" in told) == bool(debug)
