"""Text of others made safe for a terminal, and how many columns it takes there.

Whatever a server, a file name or an archive says passes through `visible` before a person sees it: what a terminal
would obey or hide (control characters, escape sequences, line feeds, bidirectional overrides, zero-width characters,
unassigned and private ones) is spelled out as an escape. What is left prints, and nothing else happens.

A name that runs from right to left would set what stands beside it in its own order: `isolated` puts it between marks
of ours (UAX 9, FSI and PDI), the only ones that reach a terminal.

Widths: `width` is what a terminal that knows combining marks shows; `width_at_most` counts each mark as a column of its
own, as some terminals and tqdm do, so that a line made to fit by it fits everywhere.
"""

import unicodedata

_WIDE = frozenset("FW")
_MARKS = frozenset({"Mn", "Me"})
_RIGHT_TO_LEFT = frozenset({"R", "AL", "AN"})
_ISOLATE, _END_OF_ISOLATE = _ISOLATES = "\u2068", "\u2069"
_SHORT = {"\n": r"\n", "\r": r"\r", "\t": r"\t", "\x1b": r"\e"}
ELLIPSIS = "…"
ELLIPSIS_ASCII = "..."


def visible(text: str, *, ascii_only: bool = False) -> str:
    """Return `text` with everything but printing characters spelled out; composed (NFC), so that marks are few."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_shown(char, ascii_only=ascii_only) for char in unicodedata.normalize("NFC", text))


def _shown(char: str, *, ascii_only: bool) -> str:
    if char.isprintable() and (char.isascii() or not ascii_only):
        return char
    if unicodedata.category(char) == "Zs":
        return " "
    if char in _SHORT:
        return _SHORT[char]
    code = ord(char)
    if code <= 0xFF:  # noqa: PLR2004 - the range of each escape is the language's own
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"  # noqa: PLR2004 - as above


def isolated(text: str) -> str:
    """Return visible text so that its direction stays its own; as it is where it runs as everything else does."""
    if text.isascii() or not any(unicodedata.bidirectional(char) in _RIGHT_TO_LEFT for char in text):
        return text
    return f"{_ISOLATE}{text}{_END_OF_ISOLATE}"


def first_line(text: str, *, limit: int, ascii_only: bool = False) -> str:
    """Return the first line that says something, safe and at most `limit` columns wide."""
    lines = [line for line in (line.strip() for line in text.splitlines()) if line] or [""]
    shown = visible(lines[0], ascii_only=ascii_only)
    ellipsis = ELLIPSIS_ASCII if ascii_only else ELLIPSIS
    if len(lines) > 1:
        shown += f" {ellipsis}"
    return shorten(shown, limit, ellipsis=ellipsis)


def width(text: str) -> int:
    """Return the columns of visible text: 2 for a wide character, none for a combining mark or an isolate."""
    return len(text) if text.isascii() else sum(_columns(char) for char in text)


def width_at_most(text: str) -> int:
    """Return the columns of visible text where each combining mark takes one."""
    return len(text) if text.isascii() else sum(_columns_at_most(char) for char in text)


def _columns(char: str) -> int:
    return 0 if unicodedata.category(char) in _MARKS or char in _ISOLATES else _columns_at_most(char)


def _columns_at_most(char: str) -> int:
    return 2 if unicodedata.east_asian_width(char) in _WIDE else 1


def shorten(text: str, columns: int, *, ellipsis: str = ELLIPSIS) -> str:
    """Return visible text cut at its end to fit `columns` by either way of counting."""
    if width_at_most(text) <= columns:
        return text
    ellipsis = ellipsis[: max(columns, 0)]
    return _start(text, columns - len(ellipsis)) + ellipsis


def shorten_middle(text: str, columns: int, *, ellipsis: str = ELLIPSIS) -> str:
    """Return a visible name cut in its middle, its end (the suffix, the number) kept rather than its beginning."""
    if width_at_most(text) <= columns:
        return text
    ellipsis = ellipsis[: max(columns, 0)]
    room = columns - len(ellipsis)
    end = _end(text, (2 * room + 2) // 3)
    return _start(text, room - width_at_most(end)) + ellipsis + end


def _start(text: str, columns: int) -> str:
    taken = 0
    for index, char in enumerate(text):
        taken += _columns_at_most(char)
        if taken > columns:
            return text[:index]
    return text


def _end(text: str, columns: int) -> str:
    taken, index = 0, len(text)
    while index > 0 and taken + _columns_at_most(text[index - 1]) <= columns:
        index -= 1
        taken += _columns_at_most(text[index])
    while index < len(text) and _columns(text[index]) == 0:  # a mark without its letter would sit on the ellipsis
        index += 1
    return text[index:]
