//! Tells CRIU what it may not ask the kernel for, as a library that it is preloaded with for a dump (ld.so(8)): the limits of a process of
//! another user, a name for what NFS has renamed, and what is mapped and has lost its name; keeps from it what it cannot dump, that a
//! connection leads out of the tree; keeps it from what it would lose of a thread that computes; lets it read what a tree has of System V; and keeps it off code that cannot be written.
#![no_std]
// Else loops become calls to memcpy and memset.
#![no_builtins]

mod cut_off;
mod files;
#[allow(dead_code, reason = "the library of the clocks takes more of it")]
mod kernel;
mod lost_mappings;
mod maps;
mod renamed_by_nfs;
mod rlimits;
mod segments;
mod shared_code;
mod system_v;
mod told;
mod vectors;

use told::told;
