"""This client's socket alone, which receives the story's events and throws them away: like with like for `count`.

python our_socket.py URL count JOB
"""

import asyncio
import sys

from exportctl.client.http import Server, open_client
from exportctl.client.socket import open_socket
from exportctl.protocol.happenings import EventReceived


async def main(url):
    server = Server(url=url, correlation_id="bench")
    async with open_client(server) as http, open_socket(http, server) as socket:
        socket.emit("export:subscribe", {"jobId": sys.argv[3], "after": 0})
        await socket.flush()
        while True:
            for told in await socket.receive():
                if isinstance(told, EventReceived) and told.name == "export:completed":
                    return


asyncio.run(main(sys.argv[1]))
