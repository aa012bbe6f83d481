"""What can stand at the cursor: words from the commands' tables, and whether the shell shall add files or folders.

The answer is lines. The first says what the shell adds by itself, since quoting, `~` and colours are its own business:
`none`, `files` or `folders`. Each other one is a word, and after a tab what it means. Shells find the words that fit
what was typed; bash, which does not, gets only those.

A table has a line for each command, option and argument: names (by blanks), kind, choices (by blanks), `many` where it
may be given again, meaning. Kinds: `command`, `flag`, `choice`, `list` (choices joined by commas), `file`, `folder`,
`target` (a folder, the word sample or a project; `place` without projects), `job` and `project` (those that this
machine knows), and `value`, of which nothing is known.
"""

from exportctl.startup.answers import read

_ADDED = {"file": "files", "folder": "folders", "place": "folders"}


class Row:
    """One line of a table."""

    __slots__ = ("choices", "kind", "many", "meaning", "names")

    def __init__(self, line: str) -> None:
        names, self.kind, choices, many, self.meaning = line.split("\t")
        self.names = names.split(" ")
        self.choices = choices.split(" ") if choices else []
        self.many = many == "many"

    @property
    def is_option(self) -> bool:
        """Whether it is given by name."""
        return self.names[0].startswith("-")

    @property
    def takes_value(self) -> bool:
        """Whether a word belongs to it."""
        return self.kind not in {"flag", "command"}


def complete(shell: str, words: list[str]) -> str:
    """Return the lines for the last of `words`, which are those behind `exportctl` up to the cursor."""
    is_split = False
    if shell == "bash":
        words, is_split = _rejoined(words)
    *before, current = words or [""]
    added, found = _at_cursor(before, current)
    if shell == "bash":
        typed = current.lstrip("'\"")
        found = [(word, meaning) for word, meaning in found if word.startswith(typed)]
    head = current[: current.index("=") + 1] if current.startswith("--") and "=" in current else ""
    if head and (is_split or shell == "zsh"):
        # These replace only what is behind the sign.
        found = [(word[len(head) :], meaning) for word, meaning in found]
    return "".join(f"{line}\n" for line in [added, *(f"{word}\t{meaning}" for word, meaning in found)])


def table(name: str) -> list[Row] | None:
    """Return the table of a command, or of `exportctl` itself; None for an unknown one."""
    text = read("tables", f"{name}.tsv") if name.isalpha() else None
    return None if text is None else [Row(line) for line in text.splitlines()]


def _at_cursor(before: list[str], current: str) -> tuple[str, list[tuple[str, str]]]:
    """Return what the shell shall add, and words with their meanings."""
    rows = table(before[0] if before else "exportctl")
    if rows is None:
        return "none", []
    options = {name: row for row in rows if row.is_option for name in row.names}
    arguments = [row for row in rows if not row.is_option and row.kind != "command"]
    used, taken, waiting, is_literal = _walk(before[1:], options)
    if any("--no-state" in row.names for row in used):
        for each in rows:
            # Nothing is to be read; a target is a folder or the sample then.
            each.kind = {"job": "value", "project": "value", "target": "place"}.get(each.kind, each.kind)
    if waiting is not None:
        return _values(waiting, current)
    if current.startswith("--") and "=" in current and not is_literal:
        name, _, value = current.partition("=")
        row = options.get(name)
        added, found = _values(row, value) if row is not None and row.takes_value else ("none", [])
        return added, [(f"{name}={word}", meaning) for word, meaning in found]
    if not is_literal and current.startswith("-"):
        return "none", _unused(rows, used)
    if not before:
        return "none", [(row.names[0], row.meaning) for row in rows if row.kind == "command"]
    if taken < len(arguments):
        return _values(arguments[taken], current)
    if arguments and arguments[-1].many:
        return _values(arguments[-1], current)
    return "none", [] if is_literal else _unused(rows, used)


def _walk(words: list[str], options: dict[str, Row]) -> tuple[list[Row], int, Row | None, bool]:
    """Return the options used, the number of arguments, the option that waits for its value, whether `--` was there."""
    used: list[Row] = []
    taken, waiting, is_literal = 0, None, False
    for word in words:
        if waiting is not None:
            waiting = None
        elif is_literal or word == "-" or not word.startswith("-"):
            taken += 1
        elif word == "--":
            is_literal = True
        elif word.startswith("--"):
            name, sign, _ = word.partition("=")
            row = options.get(name)
            if row is not None:
                used.append(row)
                waiting = row if row.takes_value and not sign else None
        else:
            waiting = _letters(word, options, used)
    return used, taken, waiting, is_literal


def _letters(word: str, options: dict[str, Row], used: list[Row]) -> Row | None:
    """Note the options of a word like `-qo`; return the one whose value is the next word."""
    for place, letter in enumerate(word[1:], start=2):
        row = options.get(f"-{letter}")
        if row is None:
            return None
        used.append(row)
        if row.takes_value:
            return row if place == len(word) else None
    return None


def _unused(rows: list[Row], used: list[Row]) -> list[tuple[str, str]]:
    return [
        (name, row.meaning) for row in rows if row.is_option and (row.many or row not in used) for name in row.names
    ]


def _values(row: Row, current: str) -> tuple[str, list[tuple[str, str]]]:
    words = row.choices
    if row.kind == "list":
        head, comma, _ = current.rpartition(",")
        given = head.split(",") if comma else []
        words = [f"{head}{comma}{word}" for word in words if word not in given and not (given and word == "none")]
    if row.kind in {"job", "project"}:
        from exportctl.startup.knowing import known_jobs, known_projects  # noqa: PLC0415 - only where it is asked for

        return "none", known_jobs(current) if row.kind == "job" else known_projects()
    if row.kind == "target":
        from exportctl.startup.knowing import known_projects  # noqa: PLC0415 - as above

        known = [pair for pair in known_projects() if pair[0] not in words]
        return "folders", [*((word, "") for word in words), *known]
    return _ADDED.get(row.kind, "none"), [(word, "") for word in words]


def _rejoined(words: list[str]) -> tuple[list[str], bool]:
    """Return bash's words with `--name = value` as one again, and whether the last one was in pieces."""
    joined: list[str] = []
    is_split = False
    for word, previous in zip(words, ["", *words], strict=False):
        is_split = "=" in (word, previous) and bool(joined) and joined[-1].startswith("--")
        if is_split:
            joined[-1] += word
        else:
            joined.append(word)
    return joined, is_split
