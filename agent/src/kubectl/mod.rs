//! `kubectl crik`: what a person does with pods under crik, from a machine that is none of the cluster's. It asks by that person's own
//! `kubectl`, with its rights and its configuration, and knows of crik what stands on the pods and what the crik in a pod answers. One
//! command a file. It imports `cluster` and `base`, and nothing of it needs root, CRIU or a configuration.

pub mod args;
mod checkpoint;
mod client;
mod connection;
mod failure_policy;
mod fit;
mod in_pod;
mod lacking_right;
mod list;
mod log_start;
mod movable;
mod move_pod;
mod node;
mod pod;
mod progress;
mod resume;
mod resumption;
mod risk;
mod selector;
mod status;
mod stop;
mod stop_together;
mod successor;
mod suspend;
mod wait;
mod workload;
mod workload_name;

use std::ffi::{OsStr, OsString};
use std::path::Path;

use anyhow::Result;
use clap::Parser as _;

use crate::base::exit_codes;
use crate::base::whole_story::whole_story;
use args::{Command, Kubectl, Plugin};
use client::Client;

/// The name by which kubectl finds a plugin that is called `crik` (kubectl plugin --help).
const PLUGIN: &str = "kubectl-crik";

/// Does what the command line says, if this program was called as kubectl's plugin. Returns the exit code.
pub fn as_plugin() -> Option<i32> {
    is_plugin(std::env::args_os().next()).then(|| run(&Plugin::parse().kubectl))
}

fn is_plugin(called: Option<OsString>) -> bool {
    called.is_some_and(|path| Path::new(&path).file_name() == Some(OsStr::new(PLUGIN)))
}

/// Does what is asked. Returns the exit code.
pub fn run(asked: &Kubectl) -> i32 {
    let client = Client::new(&asked.connection);
    done(&client, &asked.command).unwrap_or_else(|error| {
        eprintln!("kubectl crik: {}", whole_story(&error));
        exit_codes::FAILURE
    })
}

fn done(client: &Client, command: &Command) -> Result<i32> {
    match command {
        Command::List(args) => list::list(client, args).map(|()| 0),
        Command::Status(args) => status::status(client, args).map(|()| 0),
        Command::Inspect(args) => in_pod::inspect(client, args),
        Command::Doctor(args) => in_pod::doctor(client, args),
        Command::Checkpoint(args) => checkpoint::checkpoint(client, args),
        Command::Move(args) => move_pod::move_pod(client, args).map(|()| 0),
        Command::Suspend(args) => suspend::suspend(client, args).map(|()| 0),
        Command::Resume(args) => resume::resume(client, args).map(|()| 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_kubectls_plugin_by_the_name_that_it_is_called_by() {
        let called = |name: &str| is_plugin(Some(OsString::from(name)));
        assert!(called("/usr/local/bin/kubectl-crik") && called("kubectl-crik"));
        assert!(!called("/usr/local/bin/crik") && !called("kubectl") && !is_plugin(None));
    }
}
