/* Linked statically, and waits for times from now on only; see waits.py. With an argument it waits until times of the clock. */

#include <poll.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

static long long now(clockid_t clock) {
    struct timespec time;
    clock_gettime(clock, &time);
    return time.tv_sec * 1000000000LL + time.tv_nsec;
}

static void tick(const char *name) {
    char line[128];
    int length = snprintf(line, sizeof line, "tick %s %lld %lld\n", name, now(CLOCK_MONOTONIC), now(CLOCK_BOOTTIME));
    if (write(1, line, length) != length)
        _exit(1);
}

int main(int count, char **arguments) {
    (void)arguments;
    for (;;) {
        if (count > 1) {
            long long at = now(CLOCK_MONOTONIC) + 200000000;
            struct timespec until = {at / 1000000000, at % 1000000000};
            while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL))
                ;
            tick("until");
        } else {
            poll(NULL, 0, 200);
            tick("poll");
        }
    }
}
