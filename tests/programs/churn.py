"""Children and threads that come and go all the time, some orphaned, while one process makes the steps."""

import os
import threading
import time

from steps import Steps

steps = Steps()


def child():
    threads = [threading.Thread(target=time.sleep, args=(0.02,)) for _ in range(3)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    if os.fork() == 0:
        time.sleep(0.03)
    os._exit(0)


def churn():
    while True:
        pid = os.fork()
        if pid == 0:
            child()
        os.waitpid(pid, 0)


for _ in range(2):
    threading.Thread(target=churn, daemon=True).start()
while True:
    steps.step()
    time.sleep(0.01)
