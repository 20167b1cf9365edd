/* By which numbers a file is told, device and inode: by each function that looks at it, to old programs and to those that call the
 * kernel by number too. With `cost` what a look takes, as the least of many rounds. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#ifdef __GLIBC__
#include <dlfcn.h>
/* As programs were linked before glibc 2.33. */
int old_stat(int, const char *, struct stat *), old_fstat(int, int, struct stat *);
#ifdef __x86_64__
__asm__(".symver old_stat,__xstat@GLIBC_2.2.5");
__asm__(".symver old_fstat,__fxstat@GLIBC_2.2.5");
#else
__asm__(".symver old_stat,__xstat@GLIBC_2.17");
__asm__(".symver old_fstat,__fxstat@GLIBC_2.17");
#endif
#endif

/* struct statx, which not all headers have. */
struct extended {
    unsigned before[8];
    unsigned long inode;
    unsigned long between[12];
    unsigned major, minor;
    unsigned long behind[14];
};

static void tell(const char *how, int failed, const struct stat *told) {
    printf("%s %lu %lu\n", how, failed ? 0 : (unsigned long)told->st_dev, (unsigned long)told->st_ino);
}

static void tell_extended(const char *how, int failed, const struct extended *told) {
    printf("%s %lu %lu\n", how, failed ? 0 : (unsigned long)makedev(told->major, told->minor), told->inode);
}

static int cost(int file) {
    struct timespec began, ended;
    struct stat told;
    double least = 1e9;
    for (int round = 0; round < 200; round++) {
        clock_gettime(CLOCK_MONOTONIC, &began);
        for (int i = 0; i < 5000; i++) fstat(file, &told);
        clock_gettime(CLOCK_MONOTONIC, &ended);
        double took = ((ended.tv_sec - began.tv_sec) * 1e9 + ended.tv_nsec - began.tv_nsec) / 5000;
        if (took < least) least = took;
    }
    printf("cost %.1f\n", least);
    return 0;
}

int main(int count, char **args) {
    const char *path = args[1];
    struct stat told;
    struct extended extended;
    int file = open(path, O_RDONLY), home = AT_FDCWD;
    if (count > 2) return cost(file);
    tell("stat", stat(path, &told), &told);
    tell("lstat", lstat(path, &told), &told);
    tell("fstat", fstat(file, &told), &told);
    tell("fstatat", fstatat(home, path, &told, 0), &told);
    tell("by-number", syscall(SYS_newfstatat, home, path, &told, 0), &told);
    tell("fstat-by-number", syscall(SYS_fstat, file, &told), &told);
#ifdef SYS_stat
    tell("stat-by-number", syscall(SYS_stat, path, &told), &told);
    tell("lstat-by-number", syscall(SYS_lstat, path, &told), &told);
#endif
    tell_extended("statx-by-number", syscall(SYS_statx, home, path, 0, 0x7ff, &extended), &extended);
#ifdef __GLIBC__
    tell_extended("statx", statx(home, path, 0, 0x7ff, (struct statx *)&extended), &extended);
    tell("old-stat", old_stat(1, path, &told), &told);
    tell("old-fstat", old_fstat(1, file, &told), &told);
    int (*found)(const char *, struct stat *) = (int (*)(const char *, struct stat *))dlsym(dlopen("libc.so.6", RTLD_LAZY), "stat");
    if (found) tell("found", found(path, &told), &told);
#endif
    return stat("/nowhere", &told) == -1 ? 0 : 1;
}
