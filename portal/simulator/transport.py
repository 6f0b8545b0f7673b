"""The simulator as a transport of httpx: real requests and answers without a socket."""

from __future__ import annotations

import httpx

from portal.simulator.app import Simulator
from portal.simulator.errors import AnswerLost


class SimulatorTransport(httpx.AsyncBaseTransport):
    """Speaks to the ASGI application in process; lost answers become the errors that a socket would give."""

    def __init__(self, app: Simulator) -> None:
        self._inner = httpx.ASGITransport(app)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        try:
            return await self._inner.handle_async_request(request)
        except AnswerLost as lost:
            if lost.how == "timeout":
                raise httpx.ReadTimeout("No answer in time.", request=request) from lost
            if lost.how == "refused":
                raise httpx.ConnectError("Connection refused.", request=request) from lost
            raise httpx.ReadError("Connection reset by peer.", request=request) from lost
