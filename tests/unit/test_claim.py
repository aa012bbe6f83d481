"""An output has one writer: claimed before anything is started, taken over from those who were killed."""

import pytest

from exportctl.client.claim import Claim, Claimed


def test_a_second_claim_is_told_whose_the_first_is(tmp_path):
    with Claim([tmp_path / "x.zip"]) as first:
        first.name("6f0c2b7e")
        with pytest.raises(Claimed) as raised, Claim([tmp_path / "x.zip"], "another"):
            pass
    assert raised.value.job_id == "6f0c2b7e"
    assert (raised.value.code, raised.value.exit_status) == ("LOCKED", 11)
    assert "6f0c2b7e" in raised.value.message


def test_the_job_may_be_unknown_yet(tmp_path):
    with Claim([tmp_path / "x.zip"]), pytest.raises(Claimed) as raised, Claim([tmp_path / "x.zip"]):
        pass
    assert raised.value.job_id is None


def test_nothing_is_left_and_the_place_is_free_again(tmp_path):
    for _ in range(2):
        with Claim([tmp_path / "x.zip", tmp_path / "folder"]):
            assert len(list(tmp_path.iterdir())) == 2
    assert list(tmp_path.iterdir()) == []


def test_of_several_places_all_are_claimed_or_none(tmp_path):
    with Claim([tmp_path / "b"]):
        with pytest.raises(Claimed), Claim([tmp_path / "a", tmp_path / "b"]):
            pass
        with Claim([tmp_path / "a"]):
            pass


def test_what_a_killed_command_left_is_taken_over_and_its_job_forgotten(tmp_path):
    (tmp_path / ".x.zip.lock").write_text("the job of one that was killed, and whose name is long")
    with Claim([tmp_path / "x.zip"], "new"):
        assert (tmp_path / ".x.zip.lock").read_text() == "new"
    assert list(tmp_path.iterdir()) == []


def test_other_places_are_free(tmp_path):
    with Claim([tmp_path / "x.zip"]) as claim, Claim([tmp_path / "y.zip"]):
        assert claim.holds(tmp_path / "x.zip")
        assert not claim.holds(tmp_path / "y.zip")
