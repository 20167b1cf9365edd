//! `crik-controller`: says which nodes are going away.

mod auth;
mod causes;
mod cli;
mod descriptors;
mod event;
mod file_watch;
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
mod tls;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> std::process::ExitCode {
    run::run(clap::Parser::parse()).await
}
