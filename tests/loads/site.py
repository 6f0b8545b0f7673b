"""A site on loopback for the generator: counts what comes, may be slow, fail, redirect, or answer without end."""

from __future__ import annotations

import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Site:
    """`came` has (moment, path, headers) of each request. `answers` by path: status, or a callable of the handler."""

    def __init__(self, tls=None, at="127.0.0.1", port=0):
        self.came, self.answers, self.slow_s, self.proof = [], {}, 0.0, ""
        site = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_GET(self):
                site.came.append((time.monotonic(), self.path, dict(self.headers)))
                if self.path == "/.well-known/steady-state.txt":
                    return self.give(200, site.proof.encode())
                if site.slow_s:
                    time.sleep(site.slow_s)
                answer = site.answers.get(self.path, 200)
                return answer(self) if callable(answer) else self.give(answer, b"hello")

            do_HEAD = do_GET

            def give(self, status, body, **headers):
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)

            def log_message(self, *args):
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

            def handle_error(self, request, client_address):
                pass

        self.server = Server((at, port), Handler)
        if tls is not None:
            self.server.socket = tls.wrap_socket(
                self.server.socket, server_side=True, do_handshake_on_connect=False
            )
        self.port = self.server.server_port
        self.place = f"{at}:{self.port}"
        self.url = f"http://{self.place}/"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def asked(self, path=None):
        return [
            one
            for one in list(self.came)
            if one[1] != "/.well-known/steady-state.txt" and path in (None, one[1])
        ]

    def close(self):
        self.server.shutdown()
        self.server.server_close()
