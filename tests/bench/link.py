"""A link between a client and a server, for benchmarks: so many bytes a second, so far away, so lossy.

No `tc netem`: that needs rights that a container seldom gives.
"""

import asyncio
import contextlib
import random
import threading

PIECE, LARGEST = 1 << 14, 1 << 17
"""Bytes that go their way at once; more where a link is fast: its own processor time is none of what is measured."""
UNDER_WAY = 1 << 26
SEGMENT = 1448


class Link:
    """A proxy on a free port of loopback, in a thread of its own.

    `rate`: bytes a second towards the client, of all connections together. `delay`: seconds that every byte takes, each
    way. `window`: bytes of one connection under way at most, so that one is no faster than window / (2 delay). `loss`
    (0 to 1): of segments; then a connection sends as TCP Reno does, a window each round trip, doubled until the first
    segment is lost, halved whenever one is, else a segment larger.
    """

    def __init__(self, port, *, rate=None, delay=0.0, window=None, loss=0.0):
        self._to, self._rate, self._delay, self._window, self._loss = port, rate, delay, window, loss
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
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._to, limit=LARGEST)
            ways = [self._one_way(reader, far_writer), self._one_way(far_reader, writer, is_down=True)]
            tasks = [asyncio.create_task(way) for way in ways]
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            await tasks[1]
            tasks[0].cancel()

    async def _one_way(self, reader, writer, *, is_down=False):
        loop, held = asyncio.get_running_loop(), asyncio.Queue()
        window = (self._window if is_down else None) or UNDER_WAY
        room = asyncio.Semaphore(max(1, window // self._piece()))

        async def arrive():
            while (item := await held.get()) is not None:
                due, data = item
                if (early := due - loop.time()) > 0:
                    await asyncio.sleep(early)
                if not writer.is_closing():  # else nobody reads it any more
                    with contextlib.suppress(OSError):
                        writer.write(data)
                        await writer.drain()
                loop.call_later(self._delay, room.release)  # its acknowledgement is under way too
            writer.close()

        arriving = asyncio.create_task(arrive())
        with contextlib.suppress(OSError):
            async for data in self._windows(reader, room) if is_down and self._loss else self._pieces(reader, room):
                now = loop.time()
                sent_at = await self._paced(now, len(data)) if is_down else now
                held.put_nowait((sent_at + self._delay, data))
        held.put_nowait(None)
        with contextlib.suppress(OSError):
            await arriving

    def _piece(self):
        if self._window:
            return PIECE
        return LARGEST if self._rate is None else max(PIECE, min(LARGEST, int(self._rate / 500)))

    async def _pieces(self, reader, room):
        while await room.acquire() and (data := await reader.read(self._piece())):
            yield data

    async def _windows(self, reader, room):
        window, doubles = 10, True
        while await room.acquire() and (data := await reader.read(window * SEGMENT)):
            yield data
            await asyncio.sleep(2 * self._delay)
            if random.random() > (1 - self._loss) ** (1 + len(data) // SEGMENT):
                window, doubles = max(2, window // 2), False
            elif len(data) > window * SEGMENT // 2:
                window = min(window * 2 if doubles else window + 1, 1024)

    async def _paced(self, now, count):
        """Wait for the link to be free, and return when these bytes have left."""
        if self._rate is None:
            return now
        self._free_at = max(self._free_at, now) + count / self._rate
        if self._free_at - now > 0.005:
            await asyncio.sleep(self._free_at - now)
        return max(now, self._free_at)
