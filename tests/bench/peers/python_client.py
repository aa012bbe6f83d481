"""python-socketio's AsyncClient, following the story. `count` only receives; `lines` also writes each event's data.

python python_client.py URL count|lines
"""

import asyncio
import json
import os
import sys

import socketio


async def main(url, *, has_lines):
    client = socketio.AsyncClient(reconnection=False)
    done = asyncio.Event()

    if has_lines:

        @client.on("export:progress")
        async def progress(data):
            os.write(1, (json.dumps(data) + "\n").encode())

    else:

        @client.on("export:progress")
        async def progress(_data):
            pass

    @client.on("export:completed")
    async def completed(_data):
        done.set()

    @client.on("disconnect")
    async def gone(*_reason):
        done.set()

    await client.connect(url, transports=["websocket"])
    await client.call("export:subscribe", {"jobId": sys.argv[3], "after": 0})
    await done.wait()
    if not client.connected:
        sys.exit("python-socketio's client lost the connection")
    await client.disconnect()


asyncio.run(main(sys.argv[1], has_lines=sys.argv[2] == "lines"))
