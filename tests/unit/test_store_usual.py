"""What a project's stages usually take: the last job seen, by server and project, whatever else lies there."""

import pytest

from exportctl.model.eta import Usual
from exportctl.store.database import Database
from exportctl.store.usual import note_usual, usual

SERVER = "https://export.example.org"


@pytest.fixture
def database(tmp_path):
    database = Database(folder=tmp_path / "state")
    yield database
    database.close()


def test_the_last_job_of_a_project_is_what_is_usual_for_it(database):
    assert usual(database, SERVER, "p") is None
    note_usual(database, SERVER, "p", Usual(seconds={"images": 1.0}, images=10))
    latest = Usual(seconds={"images": 2.5, "compression": 7.0}, images=20)
    note_usual(database, SERVER, "p", latest)
    note_usual(database, SERVER, "q", Usual(seconds={"images": 9.0}, images=1))
    assert usual(database, SERVER, "p") == latest
    assert usual(database, "https://other.example.org", "p") is None


ODD = ["", "[]", '{"images": "long"}', "{}", '{"images": -1}', '{"images": NaN}', '{"images": 1e999}', "nul"]


@pytest.mark.parametrize("text", ODD)
def test_a_row_that_makes_no_sense_is_as_none(database, text):
    note_usual(database, SERVER, "p", Usual(seconds={"images": 1.0}, images=10))
    database.use(lambda connection: connection.execute("UPDATE usual SET seconds = ?", (text,)))
    assert usual(database, SERVER, "p") is None


def test_projects_without_end_are_not_kept_without_end(database):
    for number in range(5):
        note_usual(database, SERVER, str(number), Usual(seconds={"images": 1.0}, images=10))
    database.use(
        lambda connection: connection.executemany(
            "INSERT INTO usual VALUES (?, ?, 1, '{}', ?)", [(SERVER, f"old-{at}", at) for at in range(1200)]
        )
    )
    note_usual(database, SERVER, "p", Usual(seconds={"images": 1.0}, images=10))
    (count,) = database.use(lambda connection: connection.execute("SELECT count(*) FROM usual").fetchone())
    assert count == 1000
    assert usual(database, SERVER, "0") is not None
