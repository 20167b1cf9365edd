"""Is connected to a UNIX socket, and reads what was said there only once there is a file /tmp/read: `unread.py PATH`."""

import os
import socket
import sys
import time

from steps import Steps

client = socket.socket(socket.AF_UNIX)
client.connect(sys.argv[1])
steps = Steps()
while True:
    steps.step()
    time.sleep(0.01)
    if os.path.exists("/tmp/read"):
        said = b"".join(iter(lambda: client.recv(64), b""))
        print(f"read {said} and the end", file=sys.stderr, flush=True)
        os.remove("/tmp/read")
