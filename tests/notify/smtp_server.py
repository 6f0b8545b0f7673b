"""A real mail server, as a process of its own, that can be told to fail at each step.

    python -m tests.notify.smtp_server PORT DIRECTORY

It behaves as DIRECTORY/mode says at each step: `ok`, or `STEP:WHAT` with STEP one of ehlo, mail, rcpt, data, end
and WHAT a reply code, `hang` (answers never) or `drop` (cuts the connection). What it took lies in DIRECTORY as
one file per mail; DIRECTORY/reached gets a line for each step that began.
"""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

from aiosmtpd.smtp import SMTP

REPLIES = {
    "421": "421 try later",
    "450": "450 mailbox busy",
    "550": "550 no such mailbox",
    "554": "554 refused",
}


class Server(SMTP):
    def __init__(self, handler: Handler) -> None:
        super().__init__(handler, data_size_limit=None)
        self.world = handler

    async def smtp_EHLO(self, hostname: str) -> None:
        if not await self.world.trouble("ehlo", self):
            await super().smtp_EHLO(hostname)

    async def smtp_MAIL(self, arg: str) -> None:
        if not await self.world.trouble("mail", self):
            await super().smtp_MAIL(arg)

    async def smtp_RCPT(self, arg: str) -> None:
        if not await self.world.trouble("rcpt", self):
            await super().smtp_RCPT(arg)

    async def smtp_DATA(self, arg: str) -> None:
        if not await self.world.trouble("data", self):
            await super().smtp_DATA(arg)


class Handler:
    def __init__(self, directory: Path) -> None:
        self.directory = directory

    async def trouble(self, step: str, server: SMTP) -> bool:
        """Do what the mode says for this step; return whether the step is over by that."""
        with (self.directory / "reached").open("a") as log:
            log.write(step + "\n")
        at, _, what = (self.directory / "mode").read_text().strip().partition(":")
        if at != step:
            return False
        if what == "hang":
            await asyncio.sleep(3600)
        elif what == "drop":
            server.transport.abort()
        else:
            await server.push(REPLIES[what])
        return True

    async def handle_DATA(self, server: SMTP, session: object, envelope: object) -> str:
        took = (self.directory / "mode").read_text().strip() in {"end:hang", "end:drop"}
        mode = (self.directory / "mode").read_text().strip()
        at, _, what = mode.partition(":")
        if at != "end" or took:
            (self.directory / f"{time.time_ns()}.eml").write_bytes(envelope.original_content)
        if await self.trouble("end", server):
            return REPLIES.get(what, "250 OK")
        return "250 OK"


async def serve(port: int, directory: Path) -> None:
    handler = Handler(directory)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Server(handler), "127.0.0.1", port)
    (directory / "ready").touch()
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), Path(sys.argv[2])))
