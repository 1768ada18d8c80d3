"""What Python's standard library has to serve UDP with: upper-cases ASCII.

Arguments: the kind, the microseconds for which a datagram that begins with `w`
blocks, and the receive buffer in bytes. Prints its port.
"""

import asyncio
import socket
import socketserver
import sys
import time

kind, block, buffer = sys.argv[1], int(sys.argv[2]) / 1e6, int(sys.argv[3])


class Handler(socketserver.BaseRequestHandler):
    def handle(self):
        data, server = self.request
        if block and data[:1] == b"w":
            time.sleep(block)
        server.sendto(data.upper(), self.client_address)


class Protocol(asyncio.DatagramProtocol):
    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, addr):
        if block and data[:1] == b"w":
            loop = asyncio.get_running_loop()
            loop.call_later(block, self.transport.sendto, data.upper(), addr)
        else:
            self.transport.sendto(data.upper(), addr)


def announce(sock):
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    print(sock.getsockname()[1], flush=True)


async def serve_asyncio():
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(
        Protocol, local_addr=("127.0.0.1", 0)
    )
    announce(transport.get_extra_info("socket"))
    await asyncio.Event().wait()


if kind == "asyncio":
    asyncio.run(serve_asyncio())
else:
    with getattr(socketserver, kind)(("127.0.0.1", 0), Handler) as server:
        announce(server.socket)
        server.serve_forever()
