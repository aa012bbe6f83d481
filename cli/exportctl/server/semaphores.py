"""The named semaphores of worker processes, and what is left of them.

Workers that are not forked from the server itself find the locks of their queues by name. The names go when the server
ends, or dies (multiprocessing's resource tracker sees to that), but where all its processes are killed at once, as a
process group or a container is, they stay in memory until the machine restarts. So they bear the process they belong
to, and the next server here takes away those of processes that are no more.
"""

import multiprocessing
import os
import re
import sys
from pathlib import Path

_FOLDER = Path("/dev/shm")  # noqa: S108 - where Linux has them; nothing is made there by its path
_NAME = re.compile(r"sem\.exportctl-(\d+)-(\d+)-.+")


def name_semaphores() -> None:
    """Have the semaphores that this process makes from here on bear its name."""
    if sys.platform == "linux":
        # The one place that `multiprocessing` takes the beginning of its names from. Elsewhere names are too short.
        multiprocessing.current_process()._config["semprefix"] = f"/exportctl-{_namespace()}-{os.getpid()}"  # type: ignore[attr-defined]  # noqa: SLF001 - typeshed has no private names


def clear_semaphores() -> None:
    """Take away what killed servers left."""
    if sys.platform != "linux" or not _FOLDER.is_dir():
        return
    here = _namespace()
    for path in _FOLDER.iterdir():
        found = _NAME.fullmatch(path.name)
        # A process of another container is not to be seen from here, however alive.
        if found is not None and int(found[1]) == here and not Path(f"/proc/{found[2]}").exists():
            # Missing: another server has just done it. Not allowed: another user's.
            try:
                path.unlink(missing_ok=True)
            except OSError:
                continue


def _namespace() -> int:
    """Return the number of the namespace in which process ids count."""
    return Path("/proc/self/ns/pid").stat().st_ino
