"""An archive that is extracted into a folder, and what lies in that and beside it then."""

import io
import threading
import zipfile

from exportctl.client.extracted import forget
from exportctl.client.unpack import unpack

JOB = "6f0c2b7e-1111-4222-8333-944445555666"
GO_ON = threading.Event()
SHA256 = 64 * "0"


def packed(*entries, method=zipfile.ZIP_DEFLATED):
    """Return an archive of (name or ZipInfo, content)."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", method) as made:
        for name, data in entries:
            made.writestr(name, data, method)
    return content.getvalue()


def extracting(place):
    """Make a function that extracts an archive's bytes into its `folder`, `out` in a folder of its own."""
    (place / "place").mkdir()
    folder = place / "place" / "out"

    def run(content, *, overwrite=False, stop=GO_ON):
        archive = place / "n.zip"
        archive.write_bytes(content)
        unpack(archive, folder, JOB, sha256=SHA256, overwrite=overwrite, stop=stop)
        forget(folder, JOB)

    run.folder = folder
    return run


def tree(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }


def beside(run):
    return sorted(path.name for path in run.folder.parent.iterdir())
