"""For developers: the manual page, made of the commands' own help, so that it says what they do."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from exportctl.commands.app import COMMANDS

_EXIT: Final = (
    ("0", "done: the archive is on disk and verified, or what the command was asked to do"),
    ("1", "unexpected error: a bug"),
    ("2", "usage: a wrong option or value; the server refused the request as wrong"),
    ("3", "the export failed on the server; with --strict also: it completed with warnings"),
    ("4", "not signed in, or not allowed"),
    ("5", "no such project, job or file, or no longer there"),
    ("6", "--timeout ran out; the job goes on"),
    ("7", "the server could not be reached, or kept failing; doctor: a check failed"),
    ("8", "the archive is damaged; nothing was put at the output path"),
    ("9", "the server is busy"),
    ("10", "the export was cancelled by someone else"),
    ("11", "nothing could be written here"),
    ("130, 143, 129, 141", "ended by SIGINT, SIGTERM, SIGHUP, a closed standard output"),
)
README: Final = Path(__file__).parents[3] / "README.md"
_SECTION: Final = re.compile(r"^(\S.*):$")


def page(helps: Mapping[str, str]) -> str:
    """Return the page in roff's man macros. `helps` are the help texts by command, `exportctl` itself among them."""
    lines = [
        '.TH EXPORTCTL 1 "" "exportctl" "User Commands"',
        ".SH NAME",
        "exportctl \\- export from an image segmentation server, and verify what comes",
        ".SH SYNOPSIS",
        ".B exportctl",
        ".I COMMAND",
        "[\\fIOPTIONS\\fR] [\\fIARGUMENTS\\fR]",
        ".SH DESCRIPTION",
        *_prose(helps["exportctl"]),
        ".SH COMMANDS",
    ]
    for name in COMMANDS:
        lines += [f".SS exportctl {name}", *_command(helps[name])]
    lines.append(".SH EXAMPLES")
    for said, shown in _recipes():
        lines += [".PP", _plain(said), ".PP", ".EX", *map(_plain, shown.splitlines()), ".EE"]
    lines.append(".SH EXIT STATUS")
    for status, meaning in _EXIT:
        lines += [".TP", f".B {status}", _plain(meaning)]
    lines += [
        ".SH SEE ALSO",
        "exportctl schema prints what each line of \\-\\-ndjson holds; exportctl doctor says what stands in the way.",
    ]
    return "\n".join(lines) + "\n"


def _recipes() -> list[tuple[str, str]]:
    """Return the recipes of the README with what is said of each; several may share what is said."""
    section = README.read_text("utf-8").partition("\n## Recipes\n")[2].partition("\n## ")[0]
    found = []
    said = ""
    for text, shown in re.findall(r"(.*?)^```\w+\n(.*?)^```$", section, re.MULTILINE | re.DOTALL):
        said = " ".join(text.replace("`", "").split()) or said
        found.append((said, shown))
    return found


def _prose(text: str) -> list[str]:
    """Return the paragraphs between the line of usage and the first section."""
    body = re.split(r"^\S.*:$", text.partition("\n\n")[2], maxsplit=1, flags=re.MULTILINE)[0]
    paragraphs = [" ".join(part.split()) for part in body.strip().split("\n\n")]
    return [line for part in paragraphs for line in (".PP", _plain(part))]


def _command(text: str) -> list[str]:
    usage = text.partition("\n\n")[0].removeprefix("Usage: ")
    lines = [".PP", f".B {_plain(' '.join(usage.split()))}", *_prose(text)]
    section = ""
    for line in text.partition("\n\n")[2].splitlines():
        if found := _SECTION.match(line):
            section = found[1]
            lines += [".PP", f".I {_plain(section)}"]
        elif section == "Examples" and line.strip():
            lines += [".PP", ".EX", _plain(line.strip()), ".EE"]
        elif section and line.startswith("  ") and not line.startswith("   "):
            names, _, meaning = line.strip().partition("  ")
            lines += [".TP", f".B {_plain(names)}"] + ([_plain(meaning.strip())] if meaning else [])
        elif section and line.strip():
            lines.append(_plain(line.strip()))
    return lines


def _plain(text: str) -> str:
    """Return text that roff prints as it is."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-").replace("…", "...")
    return f"\\&{escaped}" if escaped.startswith((".", "'")) else escaped
