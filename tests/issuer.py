"""A real OpenID Connect issuer (oidc-provider-mock) in a process of its own, on a free port of the loopback."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx


def free_port() -> int:
    """Return a port that nobody listened on a moment ago."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


@contextmanager
def running_issuer() -> Iterator[str]:
    """Start an issuer, yield its address once it answers, end it."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "oidc_provider_mock", "--port", str(port), "--require-nonce"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(300):
            try:
                httpx.get(f"{url}/.well-known/openid-configuration", trust_env=False)
                break
            except httpx.TransportError:
                assert process.poll() is None, "the issuer ended"
                time.sleep(0.1)
        yield url
    finally:
        process.terminate()
        process.wait(10)
