"""A link between a client and a server, for benchmarks: so many bytes a second, so far away, so much under way.

No `tc netem`: that needs rights that a container seldom gives. What is not here is loss, and how a congestion window
grows.
"""

import asyncio
import contextlib
import threading

PIECE = 1 << 14


class Link:
    """A proxy on a free port of loopback, in a thread of its own.

    `rate`: bytes a second towards the client, of all connections together. `delay`: seconds that every byte takes, each
    way. `window`: bytes of one connection under way at most, so that one is no faster than window / (2 delay).
    """

    def __init__(self, port, *, rate=None, delay=0.0, window=None):
        self._to, self._rate, self._delay, self._window = port, rate, delay, window
        self._free_at = 0.0
        self._ready = threading.Event()
        threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True).start()
        self._ready.wait()

    @property
    def url(self):
        """Where the server seems to be."""
        return f"http://127.0.0.1:{self.port}"

    def set_rate(self, rate):
        """Be that fast from now on; None: as fast as can be."""
        self._rate = rate

    async def _serve(self):
        server = await asyncio.start_server(self._connect, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await server.serve_forever()

    async def _connect(self, reader, writer):
        with contextlib.suppress(OSError):
            await asyncio.sleep(2 * self._delay)  # the handshake
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._to, limit=1 << 16)
            ways = [self._one_way(reader, far_writer), self._one_way(far_reader, writer, is_down=True)]
            tasks = [asyncio.create_task(way) for way in ways]
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            await tasks[1]
            tasks[0].cancel()

    async def _one_way(self, reader, writer, *, is_down=False):
        loop, held = asyncio.get_running_loop(), asyncio.Queue()
        room = asyncio.Semaphore(max(1, (self._window if is_down and self._window else 1 << 26) // PIECE))

        async def arrive():
            while (item := await held.get()) is not None:
                due, data = item
                await asyncio.sleep(max(0, due - loop.time()))
                if not writer.is_closing():  # else nobody reads it any more
                    with contextlib.suppress(OSError):
                        writer.write(data)
                        await writer.drain()
                loop.call_later(self._delay, room.release)  # its acknowledgement is under way too
            writer.close()

        arriving = asyncio.create_task(arrive())
        with contextlib.suppress(OSError):
            while True:
                await room.acquire()
                data = await reader.read(PIECE)
                if not data:
                    break
                now = loop.time()
                sent_at = await self._paced(now, len(data)) if is_down else now
                held.put_nowait((sent_at + self._delay, data))
        held.put_nowait(None)
        with contextlib.suppress(OSError):
            await arriving

    async def _paced(self, now, count):
        """Wait for the link to be free, and return when these bytes have left."""
        if self._rate is None:
            return now
        self._free_at = max(self._free_at, now) + count / self._rate
        if self._free_at - now > 0.005:
            await asyncio.sleep(self._free_at - now)
        return max(now, self._free_at)
