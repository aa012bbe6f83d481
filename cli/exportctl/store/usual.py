"""What the stages of a project's jobs usually take, from the last one that was followed to its end here."""

import json
import math
import time
from typing import TYPE_CHECKING

from exportctl.model.eta import Usual
from exportctl.store.database import Database

if TYPE_CHECKING:
    import sqlite3

_KEPT = 1000
"""Projects: the ones noted last."""


def usual(database: Database, server: str, project_id: str) -> Usual | None:
    """Return what is known of a project, None where nothing is. Raises `Unusable`."""
    row = database.use(
        lambda connection: connection.execute(
            "SELECT images, seconds FROM usual WHERE server = ? AND project_id = ?", (server, project_id)
        ).fetchone()
    )
    return None if row is None else _read(*row)


def note_usual(database: Database, server: str, project_id: str, seen: Usual) -> None:
    """Note what a job took. Raises `Unusable`."""
    values = (server, project_id, seen.images, json.dumps(dict(seen.seconds)), time.time())

    def write(connection: "sqlite3.Connection") -> None:
        connection.execute("INSERT OR REPLACE INTO usual VALUES (?, ?, ?, ?, ?)", values)
        connection.execute(
            "DELETE FROM usual WHERE noted_at < (SELECT noted_at FROM usual ORDER BY noted_at DESC LIMIT 1 OFFSET ?)",
            (_KEPT - 1,),
        )

    database.use(write)


def _read(images: object, text: object) -> Usual | None:
    """Return what a row says; None where somebody else wrote it."""
    try:
        told = json.loads(str(text))
    except ValueError:
        return None
    if not isinstance(told, dict) or not isinstance(images, int):
        return None
    found = {name: float(took) for name, took in told.items() if isinstance(took, int | float)}
    seconds = {name: took for name, took in found.items() if 0 <= took < math.inf}
    return Usual(seconds=seconds, images=images) if seconds else None
