"""Where an archive goes: every form of `-o`, names that stay in their folder, and every refusal before the start."""

import os
import tempfile
import unicodedata
from datetime import date
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from exportctl.client.destination import JOB_LETTERS, Destination, check_folder, parse_output, safe_name
from exportctl.client.partial import Partial
from exportctl.model.errors import CannotWrite, Usage

TODAY = date(2026, 3, 1)
JOB = "6f0c2b7e-1111-4222-8333-944445555666"
ANY_TEXT = st.text(st.characters(exclude_categories=[]), max_size=300)


def path_for(text, *, project="Nuclei", overwrite=False):
    return parse_output(text, overwrite=overwrite).path(project=project, job_id=JOB, today=TODAY)


def refused(text, *, project="Nuclei", overwrite=False):
    with pytest.raises(CannotWrite) as caught:
        parse_output(text, overwrite=overwrite).check(project=project, today=TODAY)
    return caught.value.code


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def as_nobody(action):
    """Run in a child process without root's rights, which pass every permission; return what it answers."""
    if os.geteuid() != 0:
        return action()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
            os.write(writing, action().encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as answer:
        said = answer.read()
    os.waitpid(child, 0)
    return said


class TestForms:
    @pytest.mark.parametrize(
        ("text", "name"),
        [
            (None, "Nuclei-6f0c2b7e.zip"),
            ("n.zip", "n.zip"),
            ("./n.zip", "n.zip"),
            ("{project}_{date}_{job}.zip", "Nuclei_2026-03-01_6f0c2b7e.zip"),
            ("{project}/{job}", "Nuclei/6f0c2b7e"),
            ("new/", "new/Nuclei-6f0c2b7e.zip"),
            ("no-suffix", "no-suffix"),
            ("-.zip", "-.zip"),
            ("{{job}}", "{6f0c2b7e}"),
            ("a{b", "a{b"),
        ],
    )
    def test_a_form_of_the_output_names_its_file(self, folder, text, name):
        assert path_for(text) == folder / name

    def test_an_existing_folder_needs_no_slash(self, folder):
        (folder / "out").mkdir()
        assert path_for("out") == folder / "out" / "Nuclei-6f0c2b7e.zip"

    def test_an_absolute_path_stays_as_it_is(self, folder):
        assert path_for(str(folder / "x" / "n.zip")) == folder / "x" / "n.zip"

    def test_a_dash_is_standard_output_and_has_no_path(self):
        destination = parse_output("-", overwrite=False)
        assert destination.is_stdout
        destination.check(project="Nuclei", today=TODAY)
        with pytest.raises(Usage):
            destination.path(project="Nuclei", job_id=JOB, today=TODAY)

    @pytest.mark.parametrize("text", ["", "{jobs}.zip", "{}", "{project} {Date}", "{job.__class__}", "{0}"])
    def test_what_is_no_output_is_a_usage_error(self, text):
        with pytest.raises(Usage):
            parse_output(text, overwrite=False)

    def test_a_title_that_looks_like_a_placeholder_is_not_filled_in(self, folder):
        assert path_for("{project}.zip", project="{job}{date}") == folder / "{job}{date}.zip"


class TestNames:
    @pytest.mark.parametrize(
        ("title", "name"),
        [
            ("Nuclei 1", "Nuclei 1"),
            ("Zellkerne Größe", "Zellkerne Größe"),
            ("Zellkerne Gro\u0308ße", "Zellkerne Größe"),
            ("細胞核", "細胞核"),
            ("", "export"),
            (".", "export"),
            ("..", "export"),
            ("../../etc", "_.._etc"),
            ("/etc/passwd", "_etc_passwd"),
            ("a/b", "a_b"),
            ("a\\b", "a_b"),
            (".hidden", "hidden"),
            (". . hidden", "hidden"),
            (".\u00a0.hidden", "hidden"),
            ("   ", "export"),
            ("a\nb\x1b[31m\x00", "a_b__31m_".replace("__31m", "_[31m")),
            ("gpj.\u202epiz", "gpj._piz"),
            ("zero\u200bwidth", "zero_width"),
            ("half\ud800", "half_"),
            ("CON", "CON"),  # Linux and macOS only: no name is reserved there
            ("dots...", "dots..."),
            ('q"u*e?s<t>i|o:n', "q_u_e_s_t_i_o_n"),
            ("x" * 300, "x" * 200),
            ("ö" * 300, "ö" * 100),
            ("\U0001f9ec" * 300, "\U0001f9ec" * 50),
        ],
    )
    def test_a_title_becomes_one_harmless_name(self, title, name):
        assert safe_name(title) == name

    @given(title=ANY_TEXT)
    @example(title=" . .a")
    @example(title=".\u3000.a")
    def test_a_name_is_one_component_visible_printable_and_not_too_long(self, title):
        name = safe_name(title)
        assert name
        assert not name.startswith(".")
        assert name == name.strip()
        assert "/" not in name
        assert "\\" not in name
        assert len(os.fsencode(name)) <= 200
        assert not any(unicodedata.category(letter).startswith("C") for letter in name)
        assert safe_name(name) == name

    @given(title=ANY_TEXT)
    def test_no_title_leads_out_of_the_folder(self, title):
        here = Path.cwd()
        for text in (None, "{project}", "{project}/{job}.zip", "{project}{project}.zip"):
            path = parse_output(text, overwrite=False).path(project=title, job_id=JOB, today=TODAY)
            assert path.resolve().is_relative_to(here.resolve())
            assert path.name not in {"", ".", ".."}

    @given(title=ANY_TEXT)
    def test_the_default_name_leaves_room_for_the_partial_and_its_sidecar(self, title):
        target = Destination(template="{project}-{job}.zip").path(project=title, job_id=JOB, today=TODAY)
        partial = Partial(target, JOB)
        assert len(os.fsencode(partial._sidecar.name + ".new")) <= 255


class TestCheck:
    def test_a_free_name_in_a_folder_is_fine(self):
        for text in (None, "n.zip", "{job}.zip", "./"):
            parse_output(text, overwrite=False).check(project="Nuclei", today=TODAY)

    def test_an_existing_file_is_in_the_way_unless_it_may_be_overwritten(self, folder):
        (folder / "n.zip").write_bytes(b"old")
        assert refused("n.zip") == "EXISTS"
        parse_output("n.zip", overwrite=True).check(project="Nuclei", today=TODAY)
        assert (folder / "n.zip").read_bytes() == b"old"

    def test_an_existing_file_is_found_behind_a_template_that_needs_no_job(self, folder):
        (folder / "Nuclei-2026-03-01.zip").touch()
        assert refused("{project}-{date}.zip") == "EXISTS"

    def test_a_name_with_the_job_is_checked_when_the_job_is_known(self, folder):
        (folder / "Nuclei-6f0c2b7e.zip").touch()
        destination = parse_output(None, overwrite=False)
        destination.check(project="Nuclei", today=TODAY)
        with pytest.raises(CannotWrite, match="exists"):
            destination.check_free(destination.path(project="Nuclei", job_id=JOB, today=TODAY))

    def test_a_dangling_link_is_in_the_way_too(self, folder):
        (folder / "n.zip").symlink_to(folder / "nowhere")
        assert refused("n.zip") == "EXISTS"

    @pytest.mark.parametrize("overwrite", [False, True])
    def test_a_folder_is_never_replaced(self, folder, overwrite):
        (folder / "out" / "Nuclei").mkdir(parents=True)
        assert refused("out/{project}", overwrite=overwrite) == "IS_FOLDER"

    @pytest.mark.parametrize("overwrite", [False, True])
    def test_a_device_or_pipe_is_never_replaced(self, folder, overwrite):
        os.mkfifo(folder / "pipe")
        (folder / "link").symlink_to("/dev/null")
        for text in ("pipe", "link", "/dev/null"):
            assert refused(text, overwrite=overwrite) == "NOT_A_FILE"

    @pytest.mark.parametrize("text", ["missing/n.zip", "missing/", "missing/deeper/{job}.zip"])
    def test_a_missing_folder_is_named_with_the_command_that_makes_it(self, folder, text):
        with pytest.raises(CannotWrite, match="no folder") as caught:
            parse_output(text, overwrite=False).check(project="Nuclei", today=TODAY)
        assert caught.value.hint.startswith("mkdir -p ")
        assert list(folder.iterdir()) == []

    def test_the_command_that_makes_a_folder_can_be_pasted(self, folder):
        with pytest.raises(CannotWrite) as caught:
            check_folder(folder / "it's; rm -rf here")
        assert caught.value.hint == f"""mkdir -p '{folder}/it'"'"'s; rm -rf here'"""

    def test_a_file_is_no_folder(self, folder):
        (folder / "file").touch()
        assert refused("file/n.zip") == "NO_FOLDER"

    @pytest.mark.parametrize("text", ["x" * 300 + ".zip", "x" * 240 + ".zip", "{job}" + "x" * 235])
    def test_a_name_too_long_for_the_disk_is_found_before_the_start(self, text):
        assert refused(text) == "NAME_TOO_LONG"

    def test_a_folders_name_too_long_for_the_disk_is_found_before_the_start(self):
        assert refused("x" * 300 + "/n.zip") == "NO_FOLDER"

    @pytest.mark.parametrize(("mode", "inner"), [(0o555, "."), (0o000, "inner")])
    def test_a_folder_closed_to_us_is_found_before_the_start(self, mode, inner):
        with tempfile.TemporaryDirectory() as name:  # pytest's own folders are closed to others
            folder = Path(name)
            (folder / "inner").mkdir()
            folder.chmod(mode)
            try:
                assert as_nobody(lambda: refused(str(folder / inner / "n.zip"))) == "NO_PERMISSION"
            finally:
                folder.chmod(0o755)

    def test_the_job_is_shortened_as_everywhere(self):
        assert JOB_LETTERS == 8


def test_a_folder_that_was_taken_away_meanwhile_is_no_place_for_a_relative_path(tmp_path, monkeypatch):
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(CannotWrite, match="called in is gone"):
        parse_output("n.zip", overwrite=False).check(project="nuclei", today=TODAY)
    parse_output(str(tmp_path / "n.zip"), overwrite=False).check(project="nuclei", today=TODAY)
