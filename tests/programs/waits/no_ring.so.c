/* A library for LD_PRELOAD: the kernel has no io_uring, which CRIU cannot dump and Debian's Node.js takes if it is there. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdarg.h>
#include <sys/syscall.h>

long syscall(long number, ...) {
    static long (*next)(long, ...);
    long rest[6];
    va_list arguments;

    if (number == SYS_io_uring_setup) {
        errno = ENOSYS;
        return -1;
    }
    if (!next)
        next = dlsym(RTLD_NEXT, "syscall");
    va_start(arguments, number);
    for (int i = 0; i < 6; i++)
        rest[i] = va_arg(arguments, long);
    va_end(arguments);
    return next(number, rest[0], rest[1], rest[2], rest[3], rest[4], rest[5]);
}
