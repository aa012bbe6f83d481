"""Where an archive goes: the forms of `-o`, safe names, every reason against writing found before anything starts.

A destination is known in full only with the job's id; `check` says early whatever can be said without it.
"""

import os
import re
import stat
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Final

from exportctl.model.errors import CannotWrite, Usage

DEFAULT_NAME: Final = "{project}-{job}.zip"
STDOUT: Final = "-"
JOB_LETTERS: Final = 8
_NAME_BYTES: Final = 200
"""Of the 255 that file systems take; the rest is for the partial's own prefix and suffix."""
PARTIAL_LETTERS: Final = len(".") + len(".") + JOB_LETTERS + len(".part.json.new")
"""What the partial's and the sidecar's names are longer than the target's."""
_PLACEHOLDER: Final = re.compile(r"\{([^{}]*)\}")
_KNOWN: Final = frozenset({"project", "job", "date"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """What `-o` and `--extract` asked for. `template` None: standard output.

    `extract`: the folder that the entries go to, a template too; where it is also `template`, no archive is kept.
    `is_literal`: both are paths, in which nothing is to be filled in.
    """

    template: str | None
    overwrite: bool = False
    extract: str | None = None
    is_literal: bool = False

    @property
    def is_stdout(self) -> bool:
        """Whether the bytes go to standard output."""
        return self.template is None

    @property
    def is_folder(self) -> bool:
        """Whether the entries are all that is wanted."""
        return self.template is not None and self.template == self.extract

    def path(self, *, project: str, job_id: str, today: date) -> Path:
        """Return the absolute path for this job: of the archive, or of the folder where that alone is wanted."""
        if self.template is None:
            raise Usage("standard output has no path")
        return self._filled(self.template, project=project, job_id=job_id, today=today)

    def folder(self, *, project: str, job_id: str, today: date) -> Path | None:
        """Return the absolute path of the folder to extract into, None where nothing is to be extracted."""
        if self.extract is None:
            return None
        return self._filled(self.extract, project=project, job_id=job_id, today=today)

    def check(self, *, project: str, today: date) -> None:
        """Raise `CannotWrite` for what is wrong whatever the job's id: no folder, no permission, a file in the way."""
        if self.template is None:
            return
        unknown_job = "\N{REPLACEMENT CHARACTER}" * JOB_LETTERS
        path = self.path(project=project, job_id=unknown_job, today=today)
        for place in {path, self.folder(project=project, job_id=unknown_job, today=today) or path}:
            check_folder(place.parent)
            _check_length(place.with_name(place.name.replace(unknown_job, "0" * JOB_LETTERS)))
            if unknown_job not in str(place):
                self.check_free(place, is_folder=self.is_folder or place != path)

    def check_free(self, path: Path, *, is_folder: bool | None = None) -> None:
        """Raise `CannotWrite` where `path` is taken and may not be overwritten; what is of another kind never may.

        `is_folder`: whether a folder is wanted there; by itself, whether it is all that is wanted.
        """
        if self.is_folder if is_folder is None else is_folder:
            check_folder_free(path, overwrite=self.overwrite)
            return
        if os.path.isdir(path):  # noqa: PTH112 - Path.is_dir raises for a name that is too long or a folder closed to us
            raise CannotWrite(f"{path} is a folder", hint=f"for a file in it: -o {_quoted(path)}/", code="IS_FOLDER")
        if os.path.exists(path) and not os.path.isfile(path):  # noqa: PTH110, PTH113 - as above
            # A rename over /dev/null would take it from everybody.
            raise CannotWrite(f"{path} is no file", hint="-o - writes to standard output", code="NOT_A_FILE")
        if not self.overwrite and os.path.lexists(path):
            raise CannotWrite(f"{path} exists", hint="--overwrite replaces it, -o names another", code="EXISTS")

    def _filled(self, template: str, *, project: str, job_id: str, today: date) -> Path:
        if self.is_literal:
            return Path(template)
        values = {"project": safe_name(project), "job": job_id[:JOB_LETTERS], "date": today.isoformat()}
        return absolute(Path(_PLACEHOLDER.sub(lambda found: values[found[1]], template)))


def place_at(path: Path, *, folder: Path | None, overwrite: bool) -> Destination:
    """Return the destination of absolute paths that were known before; `folder` is where the entries go."""
    extract = None if folder is None else str(folder)
    return Destination(template=str(path), overwrite=overwrite, extract=extract, is_literal=True)


def parse_output(text: str | None, *, overwrite: bool, extract: str | None = None) -> Destination:
    """Return the destination that `-o TEXT` and `--extract` name; raise `Usage` for unknown placeholders."""
    if extract is None:
        return _parse(text, overwrite=overwrite)
    _check_placeholders(extract, "--extract")
    if text == STDOUT:
        raise Usage("--extract needs the archive on disk", hint="leave out -o - or --extract")
    extract = extract.rstrip(os.sep) or extract
    if text is None:
        return Destination(template=extract, overwrite=overwrite, extract=extract)
    return replace(_parse(text, overwrite=overwrite), extract=extract)


def _parse(text: str | None, *, overwrite: bool) -> Destination:
    if text == STDOUT:
        return Destination(template=None, overwrite=overwrite)
    if text is None:
        return Destination(template=DEFAULT_NAME, overwrite=overwrite)
    if not text:
        raise Usage("-o is empty", hint="a file, a folder with a slash at its end, or - for standard output")
    _check_placeholders(text, "-o")
    if text.endswith(os.sep) or os.path.isdir(text):  # noqa: PTH112 - as in check_free
        return Destination(template=str(Path(text) / DEFAULT_NAME), overwrite=overwrite)
    return Destination(template=text, overwrite=overwrite)


def _check_placeholders(text: str, option: str) -> None:
    if not text:
        raise Usage(f"{option} is empty")
    unknown = [name for name in _PLACEHOLDER.findall(text) if name not in _KNOWN]
    if unknown:
        raise Usage(
            f"{option} {text!r}: unknown placeholder {{{unknown[0]}}}", hint="{project}, {job} and {date} are known"
        )


def absolute(path: Path) -> Path:
    """Return `path` from the root on. Raises `CannotWrite` where it is relative to a folder that was taken away."""
    try:
        return path if path.is_absolute() else Path.cwd() / path
    except FileNotFoundError as error:
        raise CannotWrite(
            "the folder that this command was called in is gone",
            hint="-o with an absolute path, or cd to another",
            code="NO_FOLDER",
        ) from error


def check_folder(folder: Path) -> None:
    """Raise `CannotWrite` where no file can be made in `folder`."""
    try:
        is_folder = stat.S_ISDIR(folder.stat().st_mode)
    except PermissionError as error:
        raise CannotWrite(
            f"no permission to look into {folder.parent}", hint="-o names another place", code="NO_PERMISSION"
        ) from error
    except OSError as error:
        raise CannotWrite(
            f"there is no folder {folder}", hint=f"mkdir -p {_quoted(folder)}", code="NO_FOLDER"
        ) from error
    if not is_folder:
        raise CannotWrite(f"{folder} is no folder", code="NO_FOLDER")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise CannotWrite(f"no permission to write into {folder}", hint="-o names another place", code="NO_PERMISSION")


def check_folder_free(folder: Path, *, overwrite: bool) -> None:
    """Raise `CannotWrite` where entries may not be put at `folder`: it holds something, or must not be replaced."""
    if not os.path.lexists(folder):
        return
    if folder.is_symlink() or not folder.is_dir():
        raise CannotWrite(f"{folder} is no folder", hint="--extract names another", code="NOT_A_FOLDER")
    try:
        is_empty = not any(folder.iterdir())
    except OSError as error:
        raise CannotWrite(f"no permission to look into {folder}", code="NO_PERMISSION") from error
    place = folder.resolve()
    is_held = os.path.ismount(place) or _lies_in(Path.cwd, place)
    if is_empty and not is_held:
        return
    if not overwrite and not is_empty:
        raise CannotWrite(
            f"{folder} exists and is not empty", hint="--overwrite replaces it, --extract names another", code="EXISTS"
        )
    if is_held or _lies_in(Path.home, place):
        # To replace it would take away far more than an earlier export.
        raise CannotWrite(f"{folder} is not to be replaced", hint="--extract names a folder in it", code="NOT_OURS")


def _lies_in(where: Callable[[], Path], place: Path) -> bool:
    try:
        return where().is_relative_to(place)
    except (OSError, RuntimeError):  # taken away meanwhile; no HOME, and a user without a name
        return False


def safe_name(name: str) -> str:
    """Return `name` as one path component: no separator or control character, not hidden, not too long, not empty."""
    kept = "".join("_" if _is_unsafe(letter) else letter for letter in unicodedata.normalize("NFC", name))
    kept = kept.strip()
    while kept.startswith("."):
        kept = kept.lstrip(".").strip()
    while len(kept.encode()) > _NAME_BYTES:
        kept = kept[:-1]
    return kept or "export"


def _check_length(path: Path) -> None:
    """Raise `CannotWrite` where the name, or that of its partial, is longer than the file system takes."""
    try:
        most = os.pathconf(path.parent, "PC_NAME_MAX")
    except (OSError, ValueError):
        return
    if 0 < most < len(os.fsencode(path.name)) + PARTIAL_LETTERS:
        raise CannotWrite(f"the name of {path} is too long", hint="-o names a shorter one", code="NAME_TOO_LONG")


def _is_unsafe(letter: str) -> bool:
    return letter in '/\\:*?"<>|' or unicodedata.category(letter) in {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


def _quoted(path: Path) -> str:
    import shlex  # noqa: PLC0415 - only for a hint

    return shlex.quote(str(path))
