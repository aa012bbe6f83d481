"""The export server by itself, until Ctrl-C. Its address and, where it made one, its token go to standard output."""

import contextlib
import os
import secrets
import sys
from pathlib import Path

from exportctl.commands.body.refusing import refuse
from exportctl.config import state_folder
from exportctl.model.errors import CannotWrite, ExportctlError, Unreachable, Usage
from exportctl.server.run import StartError
from exportctl.server.run import serve as run_server
from exportctl.server.settings import Settings, projects_of


def serve(
    folders: list[str],
    *,
    host: str,
    port: int,
    tokens: list[str],
    state: str | None,
    jobs_per_user: int,
    workers: int | None,
) -> int:
    """Serve the folders; return the exit status once the server has ended."""
    try:
        return _serve(
            folders,
            host=host,
            port=port,
            tokens=tokens,
            state=state,
            jobs_per_user=jobs_per_user,
            workers=workers,
        )
    except ExportctlError as error:
        return refuse("serve", error, ndjson=False)


def _serve(
    folders: list[str],
    *,
    host: str,
    port: int,
    tokens: list[str],
    state: str | None,
    jobs_per_user: int,
    workers: int | None,
) -> int:
    missing = next((folder for folder in folders if not Path(folder).is_dir()), None)
    if missing is not None:
        raise Usage(f"no such folder: {missing}", hint="each FOLDER holds images and polygons", code="NO_SUCH_FOLDER")
    made = [] if tokens else [secrets.token_urlsafe(24)]
    kept = Path(state) if state else (state_folder() or Path.cwd()) / "server"
    settings = Settings(
        # Each token is a user of its own; the number is the place on the command line, so that a restart
        # finds its jobs.
        tokens={token: f"user-{number}" for number, token in enumerate(tokens or made, start=1)},
        state=kept,
        projects=projects_of((Path(folder), None) for folder in folders),
        workers=workers or os.cpu_count() or 1,
        host=host,
        port=port,
        jobs_per_user=jobs_per_user,
    )

    def ready(url: str) -> None:
        with contextlib.suppress(BrokenPipeError):
            sys.stdout.write(f"{url}\n" + "".join(f"token: {token}\n" for token in made))
            sys.stdout.flush()
        if sys.stderr is not None and sys.stderr.isatty():
            titles = ", ".join(project.title for project in settings.projects)
            sys.stderr.write(f"Serving {titles}. Jobs are kept in {kept}. Ctrl-C ends the server.\n")

    try:
        run_server(settings, ready)
    except StartError as error:
        kind: type[ExportctlError] = {"DISK_FULL": CannotWrite, "STATE_UNUSABLE": CannotWrite}.get(error.code, Usage)
        if error.code in {"PORT_IN_USE", "CANNOT_LISTEN"}:
            kind = Unreachable
        raise kind(error.message, hint=error.hint, code=error.code) from error
    return 0
