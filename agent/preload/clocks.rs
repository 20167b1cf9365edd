//! Keeps the clocks that count from the machine's start going on over a move to another machine.
//!
//! A library that a tree's programs are preloaded with (ld.so(8)). It adds to what the machine's clock says how far the tree's is
//! ahead of it, takes that away from the times that the kernel is told to wait for, and keeps each of these where whoever
//! restores the tree can compute it anew (`page.rs`). The page's path is the library's own with `.page` behind it, so a process
//! has both or neither; without a page everything passes as it is.
//!
//! It is mapped into every image, and CRIU restores a mapping only from an identical file. So it must stay small, and since it
//! meets whatever C library a container has, it takes three functions of that and nothing else.
//!
//! Besides, it has programs do without io_uring (`rings.rs`), unless the page says that they may have it, and find the files that they
//! have open under the numbers that these had (`stat.rs`).
//!
//! Not shifted: CPU times (they count from the process's start), `sysinfo` and /proc/uptime (they tell of the machine).
#![no_std]
// Else loops become calls to memcpy and memset.
#![no_builtins]

mod elf;
mod kernel;
mod lookup;
mod next;
mod page;
mod read;
mod rings;
mod slot;
mod start;
mod stat;
mod system_calls;
mod timers;
mod waits;

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {
        kernel::abort();
    }
}
