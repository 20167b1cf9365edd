//! The code that reads the clock for a program which has nothing else to be helped by: in place of the vDSO's function it asks the
//! kernel, and adds the offset.
//!
//! A thread that is frozen between the two has the time of one machine; so it compares the offset before and after, and begins
//! again when it has become another.

use std::arch::global_asm;

use crik_store::generation::clock_facts::Clocks;

use super::layout::{self, Time};
use super::machine;

#[cfg(target_arch = "x86_64")]
global_asm!(
    ".pushsection .rodata.crik_clock_stub, \"a\"",
    ".globl crik_clock_stub", ".hidden crik_clock_stub",
    ".globl crik_clock_stub_end", ".hidden crik_clock_stub_end",
    ".balign 16",
    "crik_clock_stub:",
    // edi: the clock; rsi: where the time goes.
    "2: cmp edi, 9",
    "ja 6f",
    "mov ecx, {shifted}",
    "bt ecx, edi",
    "jnc 6f",
    "lea rdx, [rip + crik_clock_stub_offsets]",
    "cmp edi, {raw}",
    "jne 3f",
    "add rdx, 16",
    "3: cmp edi, {boottime}",
    "jb 3f",
    "add rdx, 32",
    "3: mov r8, [rdx]",
    "mov r9, [rdx + 8]",
    "mov eax, 228",
    "syscall",
    "test eax, eax",
    "jnz 5f",
    "cmp r8, [rdx]",
    "jne 2b",
    "cmp r9, [rdx + 8]",
    "jne 2b",
    "add [rsi], r8",
    "add r9, [rsi + 8]",
    "cmp r9, 1000000000",
    "jl 4f",
    "sub r9, 1000000000",
    "inc qword ptr [rsi]",
    "4: mov [rsi + 8], r9",
    "5: ret",
    "6: mov eax, 228",
    "syscall",
    "ret",
    ".balign 16",
    "crik_clock_stub_offsets:",
    ".zero 48",
    "crik_clock_stub_end:",
    ".popsection",
    shifted = const layout::SHIFTED,
    raw = const layout::MONOTONIC_RAW,
    boottime = const layout::BOOTTIME,
);

#[cfg(target_arch = "aarch64")]
global_asm!(
    ".pushsection .rodata.crik_clock_stub, \"a\"",
    ".globl crik_clock_stub", ".hidden crik_clock_stub",
    ".globl crik_clock_stub_end", ".hidden crik_clock_stub_end",
    ".balign 16",
    "crik_clock_stub:",
    // w0: the clock; x1: where the time goes.
    "mov w13, w0",
    "2: cmp w13, #9",
    "b.hi 6f",
    "mov w9, #{shifted}",
    "lsr w9, w9, w13",
    "tbz w9, #0, 6f",
    "adr x10, crik_clock_stub_offsets",
    "cmp w13, #{raw}",
    "b.ne 3f",
    "add x10, x10, #16",
    "3: cmp w13, #{boottime}",
    "b.lo 3f",
    "add x10, x10, #32",
    "3: ldp x11, x12, [x10]",
    "mov w0, w13",
    "mov x8, #113",
    "svc 0",
    "cbnz w0, 5f",
    "ldp x14, x15, [x10]",
    "cmp x11, x14",
    "b.ne 2b",
    "cmp x12, x15",
    "b.ne 2b",
    "ldp x14, x15, [x1]",
    "add x14, x14, x11",
    "add x15, x15, x12",
    "movz x9, #0xca00",
    "movk x9, #0x3b9a, lsl #16",
    "cmp x15, x9",
    "b.lt 4f",
    "sub x15, x15, x9",
    "add x14, x14, #1",
    "4: stp x14, x15, [x1]",
    "5: ret",
    "6: mov w0, w13",
    "mov x8, #113",
    "svc 0",
    "ret",
    ".balign 16",
    "crik_clock_stub_offsets:",
    ".zero 48",
    "crik_clock_stub_end:",
    ".popsection",
    shifted = const layout::SHIFTED,
    raw = const layout::MONOTONIC_RAW,
    boottime = const layout::BOOTTIME,
);

/// The offsets at the end: of `MONOTONIC`, `MONOTONIC_RAW` and `BOOTTIME`.
const OFFSETS_BYTES: usize = 3 * size_of::<Time>();

/// The code, without the offsets that follow it.
#[must_use]
pub fn instructions() -> &'static [u8] {
    unsafe extern "C" {
        static crik_clock_stub: u8;
        static crik_clock_stub_end: u8;
    }
    let (start, end) = (&raw const crik_clock_stub, &raw const crik_clock_stub_end);
    // SAFETY: both labels stand in one piece of read-only data, in this order.
    unsafe { std::slice::from_raw_parts(start, end.addr() - start.addr() - OFFSETS_BYTES) }
}

/// The whole stub.
#[must_use]
pub fn stub(offsets: &Clocks) -> Vec<u8> {
    let mut stub = instructions().to_vec();
    for clock in [layout::MONOTONIC, layout::MONOTONIC_RAW, layout::BOOTTIME] {
        let offset = machine::of(offsets, clock).unwrap_or_default();
        stub.extend(offset.seconds.to_ne_bytes());
        stub.extend(offset.nanoseconds.to_ne_bytes());
    }
    stub
}

/// The offsets of the stub that `bytes` begin with, if they do.
#[must_use]
pub fn offsets(bytes: &[u8]) -> Option<Clocks> {
    let table = bytes.strip_prefix(instructions())?.get(..OFFSETS_BYTES)?;
    let numbers: Vec<i64> = table.as_chunks().0.iter().map(|bytes| i64::from_ne_bytes(*bytes)).collect();
    let of = |index: usize| {
        numbers[2 * index].wrapping_mul(layout::NANOSECONDS).wrapping_add(numbers[2 * index + 1])
    };
    Some(Clocks { monotonic: of(0), monotonic_raw: of(1), boottime: of(2), ticks: 0 })
}

/// How many bytes it takes.
#[must_use]
pub fn bytes() -> usize {
    instructions().len() + OFFSETS_BYTES
}

/// What is written over the function's first bytes: a jump to the stub, `distance` further on, and a mark by which the library and the
/// agent know it.
#[must_use]
pub fn jump(distance: i32) -> [u8; 8] {
    #[cfg(target_arch = "x86_64")]
    let [a, b, c, d] = (distance - 5).to_le_bytes();
    #[cfg(target_arch = "aarch64")]
    let [a, b, c, d] = (0x1400_0000 | (distance as u32 >> 2 & 0x03ff_ffff)).to_le_bytes();
    let mut jump = layout::STUB_HEAD.to_le_bytes();
    #[cfg(target_arch = "x86_64")]
    jump[1..5].copy_from_slice(&[a, b, c, d]);
    #[cfg(target_arch = "aarch64")]
    jump[..4].copy_from_slice(&[a, b, c, d]);
    jump
}

/// How far on the function jumps that begins with these bytes, if that is a jump to the stub.
#[must_use]
pub fn jumps(head: [u8; 8]) -> Option<i32> {
    if u64::from_le_bytes(head) & layout::STUB_MASK != layout::STUB_HEAD {
        return None;
    }
    #[cfg(target_arch = "x86_64")]
    let distance = i32::from_le_bytes([head[1], head[2], head[3], head[4]]).wrapping_add(5);
    #[cfg(target_arch = "aarch64")]
    let distance = (u32::from_le_bytes([head[0], head[1], head[2], head[3]]) << 6).cast_signed() >> 4;
    Some(distance)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_can_be_read() {
        let offsets =
            Clocks { monotonic: -86_400_000_000_001, monotonic_raw: 7, boottime: i64::MAX / 2, ticks: 0 };
        let stub = stub(&offsets);
        assert_eq!(stub.len(), bytes());
        assert_eq!(super::offsets(&stub), Some(offsets));
        assert_eq!(super::offsets(&stub[1..]), None);
    }

    #[test]
    fn a_jump_is_known_again() {
        for distance in [16, 0x1234, -64] {
            assert_eq!(jumps(jump(distance)), Some(distance));
        }
        assert_eq!(jumps(*b"\x55\x48\x89\xe5\x41\x56\x53\x48"), None);
    }

    /// Reads a clock by the stub, from memory that may be executed.
    fn read(stub: &[u8], clock: i32) -> (i32, Time) {
        let executable = libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC;
        let private = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        let mut time = Time::default();
        // SAFETY: the mapping is fresh and long enough, and the code is a function of this type.
        let result = unsafe {
            let memory = libc::mmap(std::ptr::null_mut(), 4096, executable, private, -1, 0);
            assert_ne!(memory, libc::MAP_FAILED);
            memory.cast::<u8>().copy_from(stub.as_ptr(), stub.len());
            let function: extern "C" fn(i32, *mut Time) -> i32 = std::mem::transmute(memory);
            function(clock, &raw mut time)
        };
        (result, time)
    }

    #[test]
    fn the_stub_says_what_the_kernel_says_and_its_offset() {
        let offsets = Clocks {
            monotonic: 86_400 * layout::NANOSECONDS + 999_999_999,
            monotonic_raw: -layout::NANOSECONDS,
            boottime: 3,
            ticks: 0,
        };
        let before = machine::now().unwrap().plus(offsets);
        let told = [layout::MONOTONIC, layout::MONOTONIC_RAW, layout::BOOTTIME]
            .map(|clock| (clock, read(&stub(&offsets), clock)));
        let after = machine::now().unwrap().plus(offsets);
        for (clock, (result, time)) in told {
            let at = |time: Time| (time.seconds, time.nanoseconds);
            assert_eq!(result, 0);
            assert!(time.nanoseconds < layout::NANOSECONDS);
            assert!(
                (at(machine::of(&before, clock).unwrap())..=at(machine::of(&after, clock).unwrap()))
                    .contains(&at(time)),
                "{clock}: {time:?}"
            );
        }
    }

    #[test]
    fn other_clocks_and_errors_pass_through() {
        let ahead = Clocks { monotonic: layout::NANOSECONDS << 20, ..Clocks::default() };
        let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs().cast_signed();
        let (result, time) = read(&stub(&ahead), layout::REALTIME);
        assert!(result == 0 && (now..now + 60).contains(&time.seconds));
        assert_eq!(read(&stub(&ahead), 99).0, -libc::EINVAL);
        assert_eq!(read(&stub(&ahead), 10).0, -libc::EINVAL);
    }
}
