"""The picture of the rooms: who may import whom, and files that can be read at a sitting.

The rooms are what keeps this code small to read: `protocol` and `model` can be tested without a socket or a clock
because they cannot reach one, a client without the server's libraries because it cannot name them, and `--help` stays
fast because nothing it needs leads to the network.
"""

import ast
from pathlib import Path

import pytest

import exportctl

PACKAGE = Path(exportctl.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))
ROOT = "the root"
LONGEST = 350

MAY_IMPORT = {
    "protocol": set(),
    "model": {"protocol"},
    "client": {"model", "protocol"},
    "output": {"model"},
    "store": {"model"},
    "config": {"model"},
    "commands": {"protocol", "model", "client", "output", "store", "config", "startup"},
    "server": {"model", "protocol"},
    "startup": set(),
    "__main__": {"commands", "startup"},
    ROOT: set(),
}
WHY = {
    "protocol": "it is sans-IO and knows nothing of this program: bytes in, events out",
    "model": "it is pure: what it knows of the world are the protocol's events",
    "client": "it serves any caller: commands ask it, it asks nobody above it",
    "output": "sinks consume lines and nothing else, so that a recorded log draws the same bars as a live run",
    "store": "it keeps facts of jobs; who asks for them is not its business",
    "config": "it reads settings; who asks for them is not its business",
    "commands": "commands stand above all rooms but the server, which only `serve` and the child process may load",
    "server": "the server must run without the client's code, and differ from it, to be a test of it",
    "startup": "it answers before anything else is imported, and imports nothing of ours itself",
    "__main__": "it is the way in: all else begins behind the commands",
    ROOT: "`import exportctl` must cost nothing",
}
# `exportctl serve` runs the server in its own process: a child would only stand between it and its signals.
# The users that it adds are the server's too.
EXCEPTIONS = {("commands/body/serve.py", "server"), ("commands/body/serve_users.py", "server")}


def room_of(dotted):
    parts = dotted.split(".")
    return parts[1] if len(parts) > 1 else ROOT


def imports_of(path):
    """Yield line and module of each import of ours, wherever in the file it stands."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names if alias.name.split(".")[0] == "exportctl")
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: a relative import hides which room it leads to"
            if node.module == "exportctl":
                # `from exportctl import model` leads to a room, `from exportctl import __version__` to none.
                yield from (
                    (node.lineno, f"exportctl.{alias.name}") for alias in node.names if alias.name in MAY_IMPORT
                )
            elif (node.module or "").startswith("exportctl."):
                yield node.lineno, node.module


def own_room(path):
    relative = path.relative_to(PACKAGE)
    if len(relative.parts) > 1:
        return relative.parts[0]
    return ROOT if relative.stem == "__init__" else relative.stem


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_arrows_between_the_rooms_point_one_way_only(path):
    room, name = own_room(path), path.relative_to(PACKAGE).as_posix()
    assert room in MAY_IMPORT, f"{name} is in no room of the design: give it one there, with its arrows, and here"
    wrong = [
        f"{name}:{line} imports {module}"
        for line, module in imports_of(path)
        if room_of(module) not in {ROOT, room, *MAY_IMPORT[room]} and (name, room_of(module)) not in EXCEPTIONS
    ]
    allowed = ", ".join(sorted(MAY_IMPORT[room])) or "nothing of ours"
    assert not wrong, f"{'; '.join(wrong)}. {room} may import {allowed}, since {WHY[room]}."


def test_every_exception_is_still_one():
    found = {
        (path.relative_to(PACKAGE).as_posix(), room_of(module))
        for path in MODULES
        for _, module in imports_of(path)
        if room_of(module) == "server" and own_room(path) != "server"
    }
    assert found == EXCEPTIONS, "only what still needs it may reach into the server; take a spent exception away here"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_file_is_short_enough_to_be_read_at_a_sitting(path):
    count = len(path.read_text(encoding="utf-8").splitlines())
    assert count <= LONGEST, f"{path.name} has {count} lines of {LONGEST}: split it by meaning, not by size"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_file_opens_with_its_rules(path):
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))), f"{path.name} says nowhere what lives there"


@pytest.mark.parametrize("room", ["protocol", "model"])
def test_the_pure_rooms_reach_for_no_socket_clock_or_file(room):
    """Nor for asyncio: time, chance and bytes are handed in, so that tests of hours run in milliseconds."""
    forbidden = {
        "asyncio",
        "httpx",
        "io",
        "os",
        "pathlib",
        "random",
        "select",
        "socket",
        "subprocess",
        "threading",
        "time",
    }
    reached = {
        f"{path.name}:{node.lineno} {name}"
        for path in (PACKAGE / room).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""])
        if name.split(".")[0] in forbidden
    }
    assert not reached, f"{sorted(reached)}: {room} holds no I/O and no time of its own"
