// Tells how many seconds have passed since it began by Go's own clock, and how far the C library's is ahead of the kernel's.
package main

/*
#define _GNU_SOURCE
#include <time.h>
static double ahead(void) {
    struct timespec program, machine;
    clock_gettime(CLOCK_MONOTONIC, &program);
    long number = 228;
#ifdef __x86_64__
    __asm__ volatile("syscall" : "+a"(number) : "D"(1), "S"(&machine) : "rcx", "r11", "memory");
#else
    register long x8 __asm__("x8") = 113, x0 __asm__("x0") = 1, x1 __asm__("x1") = (long)&machine;
    __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1) : "memory");
#endif
    return program.tv_sec - machine.tv_sec + (program.tv_nsec - machine.tv_nsec) / 1e9;
}
*/
import "C"

import (
	"bufio"
	"fmt"
	"os"
	"time"
)

func main() {
	began := time.Now()
	fmt.Println("looks")
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		fmt.Printf("%.1f %.1f\n", time.Since(began).Seconds(), float64(C.ahead()))
	}
}
