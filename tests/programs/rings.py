"""Asks for a ring of io_uring, says on its standard error what came of it, and goes on in either case.

rings.py syscall | liburing PATH | instruction
"""

import ctypes
import mmap
import platform
import sys
import time

from steps import Steps

IO_URING_SETUP, ENTRIES = 425, 4

# The system call by an instruction of the program's own: `mov eax, 425; syscall; ret`, and `mov x8, 425; svc 0; ret`.
INSTRUCTIONS = {
    "x86_64": bytes.fromhex("b8a90100000f05c3"),
    "aarch64": bytes.fromhex("283580d2010000d4c0035fd6"),
}

libc = ctypes.CDLL(None, use_errno=True)
parameters = ctypes.create_string_buffer(120)


def by_syscall():
    made = libc.syscall(IO_URING_SETUP, ENTRIES, parameters)
    return made if made >= 0 else -ctypes.get_errno()


def by_liburing():
    ring = ctypes.create_string_buffer(1024)
    by_liburing.kept = ring
    return ctypes.CDLL(sys.argv[2]).io_uring_queue_init(ENTRIES, ring, 0)


def by_instruction():
    code = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    code.write(INSTRUCTIONS[platform.machine()])
    by_instruction.kept = code
    call = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_uint, ctypes.c_void_p)
    return call(ctypes.addressof(ctypes.c_char.from_buffer(code)))(ENTRIES, ctypes.addressof(parameters))


made = {"syscall": by_syscall, "liburing": by_liburing, "instruction": by_instruction}[sys.argv[1]]()
print("a ring is made" if made >= 0 else f"no ring, error {-made}", file=sys.stderr, flush=True)

steps = Steps()
while True:
    steps.step()
    time.sleep(0.01)
