"""A server in a thread of its own, for clients that know no asyncio."""

import asyncio
import contextlib
import threading

from exportctl.server.run import run


@contextlib.contextmanager
def serving_beside(settings):
    """Run a server in a thread of its own, for clients that know no asyncio; yields its URL."""
    urls, loops, ends, up = [], [], [], threading.Event()

    async def main():
        loops.append(asyncio.get_running_loop())
        ends.append(asyncio.Event())

        def ready(url):
            urls.append(url)
            up.set()

        await run(settings, ready, ends[0])

    thread = threading.Thread(target=asyncio.run, args=[main()], daemon=True)
    thread.start()
    assert up.wait(60), "the server did not start"
    try:
        yield urls[0]
    finally:
        loops[0].call_soon_threadsafe(ends[0].set)
        thread.join(60)
