"""The relay's own process: standard library only, told what to do by lines on its standard input."""

import asyncio
import json
import socket
import sys
import time

CHUNK = 1 << 18
QUEUED = 1 << 25  # bytes under way in one direction of one connection


class Line:
    """Counts what passes, and says how."""

    def __init__(self, delay: float) -> None:
        self.delay = delay
        self.writers: set[asyncio.StreamWriter] = set()
        self.flowing = asyncio.Event()
        self.flowing.set()
        self.reset()

    def reset(self) -> None:
        self.counts = {"round_trips": 0, "connections": 0, "sent": 0, "received": 0}
        self.answered = True

    def passed(self, upwards: bool, size: int) -> None:
        self.counts["sent" if upwards else "received"] += size
        if upwards and self.answered:
            self.counts["round_trips"] += 1
        self.answered = not upwards

    def cut(self) -> None:
        for writer in list(self.writers):
            writer.transport.abort()


async def carry(
    line: Line, upwards: bool, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """One direction: each block is written when its time has come, in order."""
    blocks: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(QUEUED // CHUNK)

    async def deliver() -> None:
        while True:
            due, block = await blocks.get()
            await line.flowing.wait()
            wait = due - time.monotonic()
            if wait > 0:
                await asyncio.sleep(wait)
            if not block:
                if writer.can_write_eof():
                    writer.write_eof()
                return
            if not upwards:
                line.passed(upwards, len(block))
            writer.write(block)
            await writer.drain()

    delivering = asyncio.ensure_future(deliver())
    block = b"..."
    while block:
        try:
            block = await reader.read(CHUNK)
        except OSError:
            block = b""
        if block and upwards:
            line.passed(upwards, len(block))
        await blocks.put((time.monotonic() + line.delay, block))
    await delivering


async def serve(target: int, delay: float) -> None:
    line = Line(delay)

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line.counts["connections"] += 1
        ends = [writer]
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", target, limit=1 << 20)
            ends.append(far_writer)
            for end in ends:
                end.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                line.writers.add(end)
            await asyncio.gather(
                carry(line, True, reader, far_writer), carry(line, False, far_reader, writer)
            )
        except OSError:
            pass
        finally:
            for end in ends:
                line.writers.discard(end)
                end.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0, limit=1 << 20)
    say(server.sockets[0].getsockname()[1])
    commands = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    while command := (await commands.readline()).decode().strip():
        if command == "cut":
            line.cut()
        elif command == "stall":
            line.flowing.clear()
        elif command == "resume":
            line.flowing.set()
        elif command == "reset":
            line.reset()
        say(line.counts)
    line.cut()


def say(value: object) -> None:
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), float(sys.argv[2]) / 2))
