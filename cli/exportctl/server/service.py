"""What the manager of services that started the server is told, by systemd's protocol: sd_notify(3)."""

import contextlib
import os
import socket


def tell_manager(word: str) -> None:
    """Send a word, `READY=1` for one, to where the manager listens; without one nothing is done."""
    place = os.environ.get("NOTIFY_SOCKET", "")
    if not place:
        return
    # @ stands for the zero byte that begins a name which is no file.
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as telling:
        telling.sendto(word.encode(), f"\0{place[1:]}" if place.startswith("@") else place)
