//! What goes over with a tree besides its memory: files, clocks, streams, process ids, orphans. It imports the pillars (`cluster`,
//! `tree`), `config` and `base`.

pub mod addresses;
pub mod cgroup_files;
pub mod clocks;
pub mod datagram_peers;
pub mod file_locks;
pub mod file_numbers;
pub mod files;
pub mod install_init;
pub mod kubelet_files;
pub mod left_overs;
pub mod loopback;
mod name_text;
pub mod open_files;
pub mod orphans;
pub mod own_values;
pub mod pod_facts;
pub mod program_files;
pub mod reserved_pids;
pub mod streams;
pub mod terminal;
pub mod watched;
