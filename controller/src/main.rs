//! `crik-controller`: says which nodes are going away.
//!
//! A room imports only rooms further right, and of names between commas none imports the other:
//!
//!     run > cli > serve, webhook, node_events, check > reports > source, index, connections, workloads > event > auth, tls, signals, pods, inject, evict > registry > base
//!
//! What is seen of a node goes the way source → signals → event → index → serve. A pod is looked at when somebody asks; those with the
//! label are watched, if that is wanted.

mod auth;
mod base;
mod check;
mod cli;
mod connections;
mod event;
mod evict;
mod index;
mod inject;
mod node_events;
mod pods;
mod registry;
mod reports;
mod run;
mod serve;
mod signals;
mod source;
mod tls;
mod webhook;
mod workloads;

/// A waiting poll has two buffers of 8 KiB of which it uses a few hundred bytes. This allocator keeps its own notes elsewhere,
/// so that the rest of them never takes real memory: a poll costs a third less.
#[cfg(target_arch = "x86_64")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> std::process::ExitCode {
    run::run(clap::Parser::parse()).await
}
