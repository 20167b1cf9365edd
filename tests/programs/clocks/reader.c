/* Looks at the clock all the time, in four threads. A line on standard input asks how far it is ahead of the kernel's, in seconds. */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static void *look(void *arg) {
    struct timespec time;
    for (;;) {
        if (clock_gettime(CLOCK_MONOTONIC, &time) != 0) _exit(1);
        if (time.tv_nsec < 0 || time.tv_nsec >= 1000000000) _exit(2);
    }
    return arg;
}

int main(void) {
    static const clockid_t clocks[] = {0, 1, 4, 6, 7};
    pthread_t thread;
    char line[16];
    for (int i = 0; i < 4; i++) pthread_create(&thread, NULL, look, NULL);
    puts("looks");
    fflush(stdout);
    while (fgets(line, sizeof line, stdin)) {
        for (int i = 0; i < 5; i++) {
            struct timespec program, machine;
            clock_gettime(clocks[i], &program);
            syscall(SYS_clock_gettime, clocks[i], &machine);
            printf("%.1f ", program.tv_sec - machine.tv_sec + (program.tv_nsec - machine.tv_nsec) / 1e9);
        }
        printf("%d\n", clock_gettime(99, &(struct timespec){0}));
        fflush(stdout);
    }
    return 0;
}
