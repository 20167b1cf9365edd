"""Like memory.py, and answers whoever asks on port 8080, as long as it is not frozen. Each time it writes `asked`."""

import os
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from steps import Steps


class Answer(BaseHTTPRequestHandler):
    def do_GET(self):
        steps.write("asked")
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        pass


memory = bytearray(os.urandom(int(sys.argv[1]) << 20))
steps = Steps()
threading.Thread(target=ThreadingHTTPServer(("", 8080), Answer).serve_forever).start()
while True:
    steps.step()
    memory[len(steps.tokens) * 4096 % len(memory)] ^= 1
    time.sleep(0.02)
