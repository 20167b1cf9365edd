"""One of everything that can be open: a file ($1), a TCP socket and a UNIX socket that listen, threads, a child."""

import socket
import subprocess
import sys
import threading
import time

from steps import Steps

memory = bytearray(b"\x5a" * (24 << 20))
file = open(sys.argv[1], "w")
tcp = socket.create_server(("127.0.0.1", 4711))
unix = socket.socket(socket.AF_UNIX)
unix.bind("\0crik-showcase")
unix.listen()
child = subprocess.Popen(["sleep", "1000000"])
for _ in range(2):
    threading.Thread(target=time.sleep, args=(1000000,), daemon=True).start()
steps = Steps()
while True:
    steps.step()
    time.sleep(0.01)
