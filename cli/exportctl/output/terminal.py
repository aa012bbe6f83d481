"""Standard error as the progress sinks write to it: collected, then shown in one write.

One write per drawing keeps the cursor's travels between the bars invisible. A place that cannot be written to any more
(a terminal that went away, a full disk behind a redirection) ends the showing, never the export.
"""

import os
from typing import TextIO

USUAL_SIZE = (80, 24)


class Terminal:
    """What bars and plain lines are written to; tqdm takes it for its file."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._pending: list[str] = []
        self._is_muted = False
        self._is_gone = False
        self.encoding = getattr(stream, "encoding", None) or "ascii"
        self.ascii_only = self.encoding.lower().replace("-", "").replace("_", "") not in {"utf8", "utf16", "utf32"}

    def write(self, text: str) -> None:
        """Collect `text`."""
        if not self._is_muted:
            self._pending.append(text)

    def flush(self) -> None:
        """Do nothing: the writers on top flush after every word; `show` is the one that writes."""

    def fileno(self) -> int:
        """Return the stream's descriptor, by which tqdm asks for the width at each drawing."""
        return self._stream.fileno()

    def mute(self, *, on: bool) -> None:
        """Let what is written vanish, or no longer."""
        self._is_muted = on

    def discard(self) -> None:
        """Forget what was collected."""
        self._pending.clear()

    def show(self) -> None:
        """Write what was collected, at once."""
        text = "".join(self._pending)
        self._pending.clear()
        if not text or self._is_gone:
            return
        try:
            self._stream.write(text)
            self._stream.flush()
        except BlockingIOError:
            pass  # someone made the terminal non-blocking and it is full: this drawing is lost, the next one is not
        except (OSError, ValueError):  # ValueError: closed under us
            self._is_gone = True

    def size(self) -> tuple[int, int] | None:
        """Return columns and lines, or None where there is no terminal or it does not know its size."""
        try:
            columns, lines = os.get_terminal_size(self._stream.fileno())
        except (OSError, ValueError):  # io.UnsupportedOperation is both
            return None
        return (columns, lines) if columns > 0 and lines > 0 else None
