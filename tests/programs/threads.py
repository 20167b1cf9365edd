"""Eight threads that make the steps together, each with a counter and a thread-local of its own. With $1 there are as many threads,
and all others wait."""

import sys
import threading
import time

from steps import Steps, fail

steps = Steps()
local = threading.local()


def work(index, counts):
    local.count = 0
    while True:
        local.count += 1
        counts[index] += 1
        if local.count != counts[index]:
            fail("a thread's own memory differs")
        steps.step(f"-{index}")
        time.sleep(0.02)


counts = [0] * 8
for index in range(8):
    threading.Thread(target=work, args=(index, counts)).start()
for _ in range(8, int(sys.argv[1]) if len(sys.argv) > 1 else 0):
    threading.Thread(target=threading.Event().wait).start()
