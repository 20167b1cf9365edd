"""Writes each step to a file, opened as the first argument says, and expects it to have exactly what it wrote."""

import os
import sys
import time

from steps import Steps, fail

mode, path = sys.argv[1:]
if mode == "r+":
    open(path, "w").close()
out = open(path, mode)
written = os.fstat(out.fileno()).st_size

steps = Steps()
while True:
    steps.step()
    found = os.fstat(out.fileno()).st_size
    if found != written:
        fail(f"{path} has {found} bytes, and {written} were written")
    line = f"{len(steps.tokens)} {steps.hash}\n"
    out.write(line)
    out.flush()
    written += len(line)
    time.sleep(0.01)
