"""The two transports in their plainest form, for tests: they carry frames between a Connection and a server.

No reconnection, no time-outs of their own: a test that waits in vain ends by `PATIENCE`.
"""

import asyncio
from contextlib import asynccontextmanager

import httpx
import httpx_ws
import wsproto.events

from exportctl.protocol.happenings import Closed

PATIENCE = 20  # seconds

PATH = "/socket.io/"


class Carrier:
    """Frames out, frames in, and what happened."""

    def __init__(self, client, connection):
        self.client = client
        self.connection = connection
        self.sent = []
        self._ahead = []

    async def until(self, wanted):
        """Carry frames until a fact of the type `wanted`, or for which it is true; return the facts up to that one."""
        is_wanted = (lambda fact: isinstance(fact, wanted)) if isinstance(wanted, type) else wanted
        told = []
        async with asyncio.timeout(PATIENCE):
            while not (told and is_wanted(told[-1])):
                assert not (told and isinstance(told[-1], Closed)), f"closed before it happened: {told}"
                if not self._ahead:
                    await self.send()
                    self._ahead += await self.receive()
                told += self._ahead[:1]
                del self._ahead[:1]
        await self.send()
        return told

    async def event(self, name):
        """Carry frames until this event, and return its arguments."""
        told = await self.until(lambda fact: getattr(fact, "name", None) == name)
        return told[-1].args


class WebSocket(Carrier):
    def __init__(self, client, connection, socket):
        super().__init__(client, connection)
        self.socket = socket

    async def send(self):
        for frame in self.connection.data_to_send():
            self.sent.append(frame)
            await (self.socket.send_text if isinstance(frame, str) else self.socket.send_bytes)(frame)

    async def receive(self):
        try:
            event = await self.socket.receive()
        except (httpx_ws.WebSocketDisconnect, httpx_ws.WebSocketNetworkError):
            return self.connection.receive_eof()
        if isinstance(event, wsproto.events.TextMessage):
            return self.connection.receive_text(event.data)
        return self.connection.receive_bytes(event.data)


class Polling(Carrier):
    @property
    def query(self):
        handshake = self.connection.handshake
        return {"EIO": "4", "transport": "polling"} | ({"sid": handshake.sid} if handshake else {})

    async def send(self):
        for body in self.connection.payloads_to_send():
            self.sent += body.split("\x1e")
            response = await self.client.post(PATH, params=self.query, content=body.encode())
            assert (response.status_code, response.text.lower()) == (200, "ok")  # python-engineio says OK

    async def receive(self):
        response = await self.client.get(PATH, params=self.query)
        if response.status_code != httpx.codes.OK:
            return self.connection.receive_eof()
        return list(self.connection.receive_payload(response.text))


@asynccontextmanager
async def websocket(client, connection, *, sid=None):
    query = {"EIO": "4", "transport": "websocket"} | ({"sid": sid} if sid else {})
    async with httpx_ws.aconnect_ws(PATH, client, params=query) as socket:
        yield WebSocket(client, connection, socket)


@asynccontextmanager
async def polling(client, connection):
    yield Polling(client, connection)


CARRIERS = {"websocket": websocket, "polling": polling}
