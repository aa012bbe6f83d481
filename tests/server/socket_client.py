"""A Socket.IO client of a few lines, so that the server is judged by the text of the protocol and not by a library."""

import asyncio
import json
from contextlib import asynccontextmanager

import httpx
import httpx_ws


class SocketClient:
    """One socket. `events` are those that came, as (name, data).

    `left` is set when the server said to be done with it, `closed` when it is gone.
    """

    def __init__(self, session):
        self._session = session
        self._acks = {}
        self._news = asyncio.Condition()
        self.events = []
        self.refusal = None
        self.order = []
        self.closed = asyncio.Event()
        self.left = asyncio.Event()

    async def read(self):
        try:
            while True:
                await self._take(await self._session.receive_text())
        except httpx_ws.HTTPXWSException:
            self.closed.set()
            async with self._news:
                self._news.notify_all()

    async def _take(self, packet):
        if packet == "2":
            await self._session.send_text("3")
        elif packet == "41":
            self.left.set()
        elif packet.startswith("42"):
            name, data = json.loads(packet[2:])
            self.events.append((name, data))
            self.order.append(name)
        elif packet.startswith("43"):
            digits = packet[2 : packet.index("[")]
            self.order.append("ack")
            self._acks[int(digits)].set_result(json.loads(packet[2 + len(digits) :])[0])
        elif packet.startswith("44"):
            self.refusal = json.loads(packet[2:])
        async with self._news:
            self._news.notify_all()

    async def send(self, name, data):
        await self._session.send_text("42" + json.dumps([name, data]))

    async def send_raw(self, packet):
        await self._session.send_text(packet)

    async def call(self, name, *data):
        """Send an event and return its acknowledgement."""
        number = len(self._acks)
        self._acks[number] = asyncio.get_running_loop().create_future()
        await self._session.send_text(f"42{number}" + json.dumps([name, *data]))
        async with asyncio.timeout(30):
            return await self._acks[number]

    async def wait(self, condition):
        """Wait until `condition(self)` holds."""
        async with asyncio.timeout(60), self._news:
            await self._news.wait_for(lambda: condition(self) or self.closed.is_set())
        assert condition(self)

    async def wait_for(self, name):
        """Wait for an event; returns its data."""
        await self.wait(lambda _: any(seen == name for seen, _ in self.events))
        return next(data for seen, data in self.events if seen == name)

    def of(self, job_id):
        """Return the logged events of a job, in the order they came."""
        return [(name, data) for name, data in self.events if data.get("jobId") == job_id and "seq" in data]

    def completed(self, job_id):
        """Say whether the job's good end was heard of."""
        return any(name == "export:completed" for name, _ in self.of(job_id))


@asynccontextmanager
async def connected(url, token, *, auth=True, cookies=None):
    """Connect a socket; one that was refused is yielded too, with its `refusal`."""
    headers = {} if auth or not token else {"Authorization": f"Bearer {token}"}
    async with (
        httpx.AsyncClient(trust_env=False, headers=headers, cookies=cookies) as http,
        httpx_ws.aconnect_ws(
            f"{url}/socket.io/?EIO=4&transport=websocket", http, keepalive_ping_interval_seconds=None
        ) as session,
    ):
        assert (await session.receive_text()).startswith("0")
        await session.send_text("40" + (json.dumps({"token": token}) if auth and token else ""))
        client = SocketClient(session)
        first = await session.receive_text()
        if first.startswith("44"):
            client.refusal = json.loads(first[2:])
        else:
            assert first.startswith("40")
        reading = asyncio.create_task(client.read())
        try:
            yield client
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
