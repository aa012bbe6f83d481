"""What a job took of the server's memory is given back when it ends, not when Python next looks for circles."""

import gc

from exportctl.server.archive import ArchiveWriter


async def test_an_archives_room_goes_with_its_job(server):
    async with server.client() as client:
        await server.events(client, await server.start(client))
        gc.collect()
        gc.disable()
        try:
            for _ in range(3):
                await server.events(client, await server.start(client))
            left = sum(isinstance(one, ArchiveWriter) for one in gc.get_objects())
            assert left <= 1, "the last one may be closing still"
        finally:
            gc.enable()
