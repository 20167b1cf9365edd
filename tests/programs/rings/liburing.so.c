/* As liburing does: the ring is made by an instruction of the library's own, past the C library. */

int io_uring_queue_init(unsigned entries, void *ring, unsigned flags) {
    static char parameters[120];
    long result;

    (void)ring;
    (void)flags;
#if defined(__x86_64__)
    __asm__ volatile("syscall" : "=a"(result) : "a"(425L), "D"((long)entries), "S"(parameters) : "rcx", "r11", "memory");
#elif defined(__aarch64__)
    register long number __asm__("x8") = 425, first __asm__("x0") = entries;
    register void *second __asm__("x1") = parameters;
    __asm__ volatile("svc 0" : "+r"(first) : "r"(number), "r"(second) : "memory");
    result = first;
#endif
    return (int)result;
}
