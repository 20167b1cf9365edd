"""Starts programs all the time, in each of the ways in which a shell and Python start them, so that some are always half started.

A step is made when each of them has ended well, and has written what it was to write.
"""

import subprocess
import threading

from steps import Steps, fail

PIPELINE = "echo $(($(printf '%s\\n' a b c | sort -r | wc -l) + $(sleep 0.01; echo 4)))"

steps = Steps()


def check(ended, expected):
    if (ended.returncode, ended.stdout, ended.stderr) != (0, expected, ""):
        fail(f"{ended.args} has ended with {ended.returncode}: {ended.stdout}{ended.stderr}")


def again_and_again(command, expected, **how):
    while True:
        check(subprocess.run(command, capture_output=True, text=True, **how), expected)
        steps.step()


for command, expected, how in [
    (["bash", "-c", PIPELINE], "7\n", {}),
    (["true"], "", {"close_fds": False}),
    (["python3", "-c", "print(7)"], "7\n", {"start_new_session": True}),
]:
    threading.Thread(target=again_and_again, args=(command, expected), kwargs=how).start()
