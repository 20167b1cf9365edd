"""Keeps a file in the directory $1 open, and makes a step only while it is as it was."""

import os
import sys
import time

from steps import Steps, fail

directory = sys.argv[1]
os.makedirs(directory, exist_ok=True)
with open(f"{directory}/config", "w") as file:
    file.write("as it was")
kept = open(f"{directory}/config")
steps = Steps()
while True:
    kept.seek(0)
    if kept.read() != "as it was":
        fail("the open file is another one")
    steps.step()
    time.sleep(0.01)
