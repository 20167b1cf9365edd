"""An S3 server on one address of this machine: moto's, with the faults that tests ask for.

    serve.py ADDRESS BUCKET [--port PORT] [--careless] [--tls CERTIFICATE KEY]

It prints its port, and with `--tls` a second one, at which it speaks that alone. A PUT on a condition is done alone, as the real ones do it.
`--careless` takes no notice of conditions.

    PUT /_crik/faults   a list of {"what", "method", "after", "times"}: what happens to requests of this method, the first `after`
                        of which go well. It is one of "500", "503", "expired" (the credentials), "denied", "reset", "hang", "torn" (an
                        answer that is cut off), and "lost" (it is done, and the connection is reset).
    GET /_crik/asked    the requests so far, a line each: method, path, and the length of the body
"""

import argparse
import json
import os
import socket
import struct
import threading
import time

# It is asked by any name of its own, the first part of which is no bucket's.
os.environ["S3_IGNORE_SUBDOMAIN_BUCKETNAME"] = "true"

from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server
from werkzeug.test import Client

CONDITIONS = ("HTTP_IF_MATCH", "HTTP_IF_NONE_MATCH")
REFUSALS = {
    "500": ("500 Internal Server Error", "InternalError"),
    "503": ("503 Slow Down", "SlowDown"),
    "expired": ("403 Forbidden", "ExpiredToken"),
    "denied": ("403 Forbidden", "AccessDenied"),
}


class Served:
    def __init__(self, careless):
        self.app = DomainDispatcherApplication(create_backend_app)
        self.careless = careless
        self.one_at_a_time = threading.Lock()
        self.known = threading.Lock()
        self.faults = []
        self.asked = []

    def __call__(self, environ, start_response):
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        if path.startswith("/_crik/"):
            return self.told(environ, path, start_response)
        fault = self.fault(method, path, environ.get("CONTENT_LENGTH", "0"))
        if fault == "hang":
            time.sleep(3600)
        if fault == "reset":
            return self.reset(environ)
        if fault in REFUSALS:
            return self.refuse(environ, start_response, *REFUSALS[fault])
        answer = self.answer(environ, method)
        if fault == "lost":
            return self.reset(environ)
        status, headers, body = answer
        if fault == "torn":
            headers = [header for header in headers if header[0].lower() != "content-length"]
            headers.append(("Content-Length", str(len(body) + 1000)))
        start_response(status, headers)
        return [body]

    def answer(self, environ, method):
        told = []
        conditional = method == "PUT" and any(name in environ for name in CONDITIONS)
        if conditional and self.careless:
            for name in CONDITIONS:
                environ.pop(name, None)
        # What it answers is made as it is written, so all of it is taken before another one begins.
        ask = lambda: b"".join(self.app(environ, lambda status, headers, *_: told.append((status, headers))))
        if conditional:
            with self.one_at_a_time:
                body = ask()
        else:
            body = ask()
        return (*told[0], body)

    def fault(self, method, path, length):
        with self.known:
            self.asked.append(f"{method} {path} {length}\n")
            for fault in self.faults:
                if fault["method"] != method:
                    continue
                if fault["after"] > 0:
                    fault["after"] -= 1
                elif fault["times"] > 0:
                    fault["times"] -= 1
                    return fault["what"]
        return None

    def told(self, environ, path, start_response):
        with self.known:
            if environ["REQUEST_METHOD"] == "PUT":
                self.faults = json.loads(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])))
            body = "".join(self.asked).encode() if path == "/_crik/asked" else b""
        start_response("200 OK", [("Content-Length", str(len(body)))])
        return [body]

    def refuse(self, environ, start_response, status, code):
        environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        body = f"<Error><Code>{code}</Code><Message>a test wants it</Message></Error>".encode()
        start_response(status, [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))])
        return [body]

    def reset(self, environ):
        connection = environ["werkzeug.socket"]
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        raise ConnectionResetError


class Quiet(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log(self, *_):
        pass

    def connection_dropped(self, error, environ=None):
        # What is closed with SO_LINGER and no time is reset.
        self.close_connection = True


def end_with(parent):
    """Nobody else ends what a suite has left that was killed."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(0)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("address")
    parser.add_argument("bucket")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--careless", action="store_true")
    parser.add_argument("--tls", nargs=2)
    how = parser.parse_args()
    served = Served(how.careless)
    Client(served.app).put(f"/{how.bucket}")
    begin = lambda port, **more: make_server(how.address, port, served, threaded=True, request_handler=Quiet, **more)
    servers = [begin(how.port)]
    if how.tls:
        servers.append(begin(0, ssl_context=tuple(how.tls)))
    threading.Thread(target=end_with, args=(os.getppid(),), daemon=True).start()
    print(*(server.server_port for server in servers), flush=True)
    for server in servers[1:]:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    servers[0].serve_forever()


main()
