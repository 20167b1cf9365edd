//! `crik-controller`: says which nodes are going away.

mod cli;
mod event;
mod index;
mod limits;
mod logging;
mod node;
mod report;
mod run;
mod serve;
mod signals;
mod source;
mod state;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> std::process::ExitCode {
    run::run(clap::Parser::parse()).await
}
