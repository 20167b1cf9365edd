"""Counts the primes below a number, segment by segment. All that it knows is in memory."""

import math
import sys

SEGMENT = 1 << 16


def small_primes(limit):
    sieve = bytearray([1]) * (limit + 1)
    sieve[:2] = b"\0\0"
    for n in range(2, math.isqrt(limit) + 1):
        if sieve[n]:
            sieve[n * n :: n] = bytes(len(range(n * n, limit + 1, n)))
    return [n for n, prime in enumerate(sieve) if prime]


def main(below):
    small = small_primes(math.isqrt(below))
    count = 0
    for low in range(2, below, SEGMENT):
        high = min(low + SEGMENT, below)
        segment = bytearray([1]) * (high - low)
        for p in small:
            if p * p >= high:
                break
            first = max(p * p, (low + p - 1) // p * p)
            segment[first - low :: p] = bytes(len(range(first, high, p)))
        count += sum(segment)
        print(f"{count} primes below {high}", flush=True)
    print(f"result: {count}", flush=True)


main(int(sys.argv[1]))
