/* Waits until a time, in every way that a C library has.
 *
 * waits NAME MILLISECONDS   waits as long by the clock that it waits on; then tells how long it was in real time
 * waits list                the ways; those that a move may find in flight are marked
 * waits offsets             how far clocks are ahead of the kernel's, in seconds
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/times.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* linux/futex.h, which musl's compiler has not. */
enum { FUTEX_WAIT_BITSET_PRIVATE = 9 | 128, FUTEX_CLOCK_REALTIME = 256, FUTEX_BITSET_MATCH_ANY = -1 };

static struct timespec now(clockid_t clock) {
    struct timespec time;
    if (clock_gettime(clock, &time) != 0) {
        perror("clock_gettime");
        exit(1);
    }
    return time;
}

static struct timespec later(struct timespec time, long milliseconds) {
    time.tv_nsec += milliseconds % 1000 * 1000000;
    time.tv_sec += milliseconds / 1000 + time.tv_nsec / 1000000000;
    time.tv_nsec %= 1000000000;
    return time;
}

static int before(struct timespec a, struct timespec b) {
    return a.tv_sec != b.tv_sec ? a.tv_sec < b.tv_sec : a.tv_nsec < b.tv_nsec;
}

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

static void condition(clockid_t clock, const struct timespec *until) {
    pthread_condattr_t attribute;
    pthread_cond_t cond;
    pthread_condattr_init(&attribute);
    pthread_condattr_setclock(&attribute, clock);
    pthread_cond_init(&cond, &attribute);
    pthread_mutex_lock(&mutex);
    pthread_cond_timedwait(&cond, &mutex, until);
    pthread_mutex_unlock(&mutex);
}

static void cond_monotonic(const struct timespec *until) { condition(CLOCK_MONOTONIC, until); }
static void cond_realtime(const struct timespec *until) { condition(CLOCK_REALTIME, until); }

static void nanosleep_monotonic(const struct timespec *until) {
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, until, NULL);
}
static void nanosleep_boottime(const struct timespec *until) {
    clock_nanosleep(CLOCK_BOOTTIME, TIMER_ABSTIME, until, NULL);
}
static void nanosleep_realtime(const struct timespec *until) {
    clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, until, NULL);
}
static void nanosleep_syscall(const struct timespec *until) {
    syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, TIMER_ABSTIME, until, NULL);
}
static void futex_bitset(const struct timespec *until) {
    int word = 0;
    syscall(SYS_futex, &word, FUTEX_WAIT_BITSET_PRIVATE, 0, until, NULL, FUTEX_BITSET_MATCH_ANY);
}
static void futex_realtime(const struct timespec *until) {
    int word = 0;
    syscall(SYS_futex, &word, FUTEX_WAIT_BITSET_PRIVATE | FUTEX_CLOCK_REALTIME, 0, until, NULL, FUTEX_BITSET_MATCH_ANY);
}

static void handled(int signal) { (void)signal; }

/* A wait in the handler of a signal that came during a wait. */
static struct timespec inner;
static void wait_in_handler(int signal) {
    (void)signal;
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &inner, NULL);
}
static void nested(const struct timespec *until) {
    inner = *until;
    inner.tv_sec -= 1;
    signal(SIGALRM, wait_in_handler);
    ualarm(20000, 0);
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, until, NULL);
}

/* Waits that are left by a jump, more often than there are slots near a thread. */
static sigjmp_buf out;
static void jump_out(int signal) {
    (void)signal;
    siglongjmp(out, 1);
}
static void jumped(const struct timespec *until) {
    struct timespec far = later(*until, 1000000);
    signal(SIGALRM, jump_out);
    for (volatile int i = 0; i < 100; i++)
        if (sigsetjmp(out, 1) == 0) {
            ualarm(500, 0);
            clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &far, NULL);
        }
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, until, NULL);
}

/* Threads that are cancelled in a wait: their handlers run, with the mutex locked again. */
static volatile int cleaned;
static void clean(void *arg) {
    (void)arg;
    cleaned += pthread_mutex_trylock(&mutex) == EBUSY;
    pthread_mutex_unlock(&mutex);
}
static void *wait_long(void *arg) {
    pthread_mutex_lock(&mutex);
    pthread_cleanup_push(clean, NULL);
    pthread_cond_t cond;
    pthread_condattr_t attribute;
    pthread_condattr_init(&attribute);
    pthread_condattr_setclock(&attribute, CLOCK_MONOTONIC);
    pthread_cond_init(&cond, &attribute);
    for (;;) pthread_cond_timedwait(&cond, &mutex, arg);
    pthread_cleanup_pop(0);
    return NULL;
}
static void cancelled(const struct timespec *until) {
    struct timespec far = later(*until, 1000000);
    for (int i = 0; i < 100; i++) {
        pthread_t thread;
        pthread_create(&thread, NULL, wait_long, &far);
        usleep(500);
        pthread_cancel(thread);
        pthread_join(thread, NULL);
    }
    if (cleaned == 0) {
        puts("no handler ran");
        exit(1);
    }
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, until, NULL);
}

/* A child goes on with the page of its parent. */
static void forked(const struct timespec *until) {
    pid_t child = fork();
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, until, NULL);
    if (child == 0) _exit(0);
    waitpid(child, NULL, 0);
}

static void set_timerfd(clockid_t clock, const struct timespec *until) {
    int file = timerfd_create(clock, TFD_CLOEXEC);
    struct itimerspec time = {.it_value = *until};
    unsigned long count;
    timerfd_settime(file, TFD_TIMER_ABSTIME, &time, NULL);
    if (read(file, &count, sizeof count) != sizeof count) perror("read");
    /* Nothing disarms it. */
    struct itimerspec none = {0}, left;
    timerfd_settime(file, TFD_TIMER_ABSTIME, until == NULL ? NULL : &none, NULL);
    timerfd_gettime(file, &left);
    if (left.it_value.tv_sec || left.it_value.tv_nsec) puts("armed");
    close(file);
}
static void timerfd_monotonic(const struct timespec *until) { set_timerfd(CLOCK_MONOTONIC, until); }
static void timerfd_boottime(const struct timespec *until) { set_timerfd(CLOCK_BOOTTIME, until); }
static void timerfd_realtime(const struct timespec *until) { set_timerfd(CLOCK_REALTIME, until); }

static void set_timer(clockid_t clock, struct timespec until, int burn) {
    sigset_t alarm;
    sigemptyset(&alarm);
    sigaddset(&alarm, SIGALRM);
    sigprocmask(SIG_BLOCK, &alarm, NULL);
    timer_t timer;
    timer_create(clock, NULL, &timer);
    struct itimerspec time = {.it_value = until};
    timer_settime(timer, TIMER_ABSTIME, &time, NULL);
    struct timespec no_time = {0};
    while (sigtimedwait(&alarm, NULL, burn ? &no_time : NULL) != SIGALRM) {}
    timer_delete(timer);
}
static void timer_monotonic(const struct timespec *until) { set_timer(CLOCK_MONOTONIC, *until, 0); }
static void timer_boottime(const struct timespec *until) { set_timer(CLOCK_BOOTTIME, *until, 0); }
static void timer_cpu(const struct timespec *until) { set_timer(CLOCK_PROCESS_CPUTIME_ID, *until, 1); }

#ifdef __GLIBC__
static void *sleep_long(void *arg) {
    sleep(1000);
    return arg;
}
static void cond_clock(const struct timespec *until) {
    pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
    pthread_mutex_lock(&mutex);
    pthread_cond_clockwait(&cond, &mutex, CLOCK_MONOTONIC, until);
    pthread_mutex_unlock(&mutex);
}
static void sem_clock(const struct timespec *until) {
    sem_t semaphore;
    sem_init(&semaphore, 0, 0);
    sem_clockwait(&semaphore, CLOCK_MONOTONIC, until);
}
/* Each lock is held by another thread. */
static pthread_mutex_t held = PTHREAD_MUTEX_INITIALIZER;
static pthread_rwlock_t written = PTHREAD_RWLOCK_INITIALIZER;
static void *hold(void *arg) {
    pthread_mutex_lock(&held);
    pthread_rwlock_wrlock(&written);
    return sleep_long(arg);
}
static void holding(void) {
    static pthread_t thread;
    if (thread) return;
    pthread_create(&thread, NULL, hold, NULL);
    while (pthread_rwlock_tryrdlock(&written) == 0) {
        pthread_rwlock_unlock(&written);
        usleep(1000);
    }
}
static void mutex_clock(const struct timespec *until) {
    holding();
    pthread_mutex_clocklock(&held, CLOCK_MONOTONIC, until);
}
static void rwlock_read(const struct timespec *until) {
    holding();
    pthread_rwlock_clockrdlock(&written, CLOCK_MONOTONIC, until);
}
static void rwlock_write(const struct timespec *until) {
    holding();
    pthread_rwlock_clockwrlock(&written, CLOCK_MONOTONIC, until);
}
static void join_clock(const struct timespec *until) {
    pthread_t thread;
    pthread_create(&thread, NULL, sleep_long, NULL);
    pthread_clockjoin_np(thread, NULL, CLOCK_MONOTONIC, until);
}
#endif

static const struct way {
    const char *name;
    clockid_t clock;
    void (*wait)(const struct timespec *until);
    int in_flight;
} ways[] = {
    {"cond_monotonic", CLOCK_MONOTONIC, cond_monotonic, 1},
    {"cond_realtime", CLOCK_REALTIME, cond_realtime, 0},
    {"nanosleep_monotonic", CLOCK_MONOTONIC, nanosleep_monotonic, 1},
    {"nanosleep_boottime", CLOCK_BOOTTIME, nanosleep_boottime, 1},
    {"nanosleep_realtime", CLOCK_REALTIME, nanosleep_realtime, 0},
    {"nanosleep_syscall", CLOCK_MONOTONIC, nanosleep_syscall, 1},
    {"futex_bitset", CLOCK_MONOTONIC, futex_bitset, 1},
    {"futex_realtime", CLOCK_REALTIME, futex_realtime, 0},
    {"nested", CLOCK_MONOTONIC, nested, 0},
    {"jumped", CLOCK_MONOTONIC, jumped, 0},
    {"cancelled", CLOCK_MONOTONIC, cancelled, 0},
    {"forked", CLOCK_MONOTONIC, forked, 0},
    {"timerfd_monotonic", CLOCK_MONOTONIC, timerfd_monotonic, 0},
    {"timerfd_boottime", CLOCK_BOOTTIME, timerfd_boottime, 0},
    {"timerfd_realtime", CLOCK_REALTIME, timerfd_realtime, 0},
    {"timer_monotonic", CLOCK_MONOTONIC, timer_monotonic, 0},
    {"timer_boottime", CLOCK_BOOTTIME, timer_boottime, 0},
    {"timer_cpu", CLOCK_PROCESS_CPUTIME_ID, timer_cpu, 0},
#ifdef __GLIBC__
    {"cond_clock", CLOCK_MONOTONIC, cond_clock, 1},
    {"sem_clock", CLOCK_MONOTONIC, sem_clock, 1},
    {"mutex_clock", CLOCK_MONOTONIC, mutex_clock, 1},
    {"rwlock_read", CLOCK_MONOTONIC, rwlock_read, 1},
    {"rwlock_write", CLOCK_MONOTONIC, rwlock_write, 1},
    {"join_clock", CLOCK_MONOTONIC, join_clock, 1},
#endif
};
#define WAYS (sizeof ways / sizeof *ways)

/* As syscall(2), which a library may stand before. */
static long kernel(long number, long a, long b) {
#ifdef __x86_64__
    long result;
    __asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b) : "rcx", "r11", "memory");
    return result;
#else
    register long x8 __asm__("x8") = number, x0 __asm__("x0") = a, x1 __asm__("x1") = b;
    __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1) : "memory");
    return x0;
#endif
}

static void offsets(void) {
    static const clockid_t clocks[] = {0, 1, 4, 6, 7};
    for (unsigned i = 0; i < sizeof clocks / sizeof *clocks; i++) {
        struct timespec machine, program = now(clocks[i]), by_number;
        kernel(SYS_clock_gettime, clocks[i], (long)&machine);
        syscall(SYS_clock_gettime, clocks[i], &by_number);
        /* Up to a tick apart, since one of them is coarse. */
        double ahead = program.tv_sec - machine.tv_sec + (program.tv_nsec - machine.tv_nsec) / 1e9;
        double also = by_number.tv_sec - machine.tv_sec + (by_number.tv_nsec - machine.tv_nsec) / 1e9;
        printf("%d %.1f %.1f\n", clocks[i], ahead, also);
    }
    long ticks = (long)times(&(struct tms){0}) - kernel(SYS_times, 0, 0);
    printf("times %ld\n", ticks / sysconf(_SC_CLK_TCK));
}

static int wait_for(const struct way *way, long milliseconds) {
    struct sigaction action = {.sa_handler = handled};
    sigaction(SIGUSR1, &action, NULL);
    struct timespec began = now(CLOCK_REALTIME), until = later(now(way->clock), milliseconds);
    puts("waits");
    fflush(stdout);
    do way->wait(&until);
    while (before(now(way->clock), until));
    struct timespec ended = now(CLOCK_REALTIME);
    printf("%ld\n", (ended.tv_sec - began.tv_sec) * 1000 + (ended.tv_nsec - began.tv_nsec) / 1000000);
    fflush(stdout);
    _exit(0);
}

int main(int argc, char **argv) {
    if (argc == 2 && strcmp(argv[1], "offsets") == 0) {
        offsets();
        return 0;
    }
    if (argc == 2 && strcmp(argv[1], "list") == 0) {
        for (unsigned i = 0; i < WAYS; i++) printf("%s%s\n", ways[i].name, ways[i].in_flight ? " *" : "");
        return 0;
    }
    for (unsigned i = 0; argc == 3 && i < WAYS; i++)
        if (strcmp(argv[1], ways[i].name) == 0) return wait_for(&ways[i], atol(argv[2]));
    fprintf(stderr, "usage: waits NAME MILLISECONDS | list | offsets\n");
    return 2;
}
