"""Relays connections from inside a network namespace to a proxy outside: a Unix socket belongs to no network.

Usage: relay.py PORT SOCKET

Listens on 127.0.0.1:PORT, prints `ready`, and passes every connection on to SOCKET until it is killed.
"""

import asyncio
import sys

PORT, SOCKET = int(sys.argv[1]), sys.argv[2]


async def copy(source, target):
    try:
        while data := await source.read(65536):
            target.write(data)
            await target.drain()
    except ConnectionError:
        pass
    finally:
        target.close()


async def relay(reader, writer):
    inner, outer = await asyncio.open_unix_connection(SOCKET)
    await asyncio.gather(copy(reader, outer), copy(inner, writer))


async def main():
    server = await asyncio.start_server(relay, "127.0.0.1", PORT)
    print("ready", flush=True)
    await server.serve_forever()


asyncio.run(main())
