//! The library that CRIU is preloaded with for a restore (ld.so(8)): has what it restores die with it, keeps connections that it puts
//! together from being reset meanwhile, and lets it set what belongs to an IPC namespace that it makes.
#![no_std]
// Else loops become calls to memcpy and memset.
#![no_builtins]

mod deaf;
mod dies_with_criu;
#[allow(dead_code, reason = "the libraries of the clocks and of a dump take more of it")]
mod kernel;
mod told;
mod writable_sysctls;

use told::told;
