"""How the store calls the servers of this machine: those of jobs that are parked in a folder of theirs."""

from typing import Final

EMBEDDED: Final = "embedded"
"""The server of a job that ran on this machine; of one that is parked there, this, a colon and its folder's name."""


def parked_server(name: str) -> str:
    """Return what stands for the server of the jobs that are parked in the folder of that name."""
    return f"{EMBEDDED}:{name}"


def is_parked(server: str) -> bool:
    """Whether `server` stands for a folder of this machine."""
    return server.startswith(f"{EMBEDDED}:")


def parked_name(server: str) -> str:
    """Return the name of the folder that such a server stands for."""
    return server.removeprefix(f"{EMBEDDED}:")
