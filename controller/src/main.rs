//! `crik-controller`: says which nodes are going away.

mod cli;
mod event;
mod index;
mod limits;
mod logging;
mod node;
mod run;
mod serve;
mod signals;
mod source;
mod state;

use clap::Parser;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> anyhow::Result<()> {
    run::run(cli::Cli::parse()).await
}
