//! What may stand on the command line of `kubectl crik`.

use std::time::Duration;

use clap::{Parser, Subcommand};

use super::connection::Connection;
use super::workload_name::WorkloadName;
use crate::base::limits;
use crate::base::output::Output;

/// Looks after pods under crik: lists and inspects them, moves them to other nodes, suspends and resumes their workloads.
#[derive(Debug, Parser)]
#[command(name = "kubectl crik", bin_name = "kubectl crik", version, arg_required_else_help = true)]
pub struct Plugin {
    /// What is asked.
    #[command(flatten)]
    pub kubectl: Kubectl,
}

/// Arguments of `crik kubectl`, which does the same.
#[derive(Debug, clap::Args)]
pub struct Kubectl {
    /// Which cluster, and as whom.
    #[command(flatten)]
    pub connection: Connection,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List the pods under crik, with what their agents have told: whether they are protected, their newest checkpoint, how they started.
    List(List),
    /// Show each node with the pods under crik on it, and which of them would lose work if it went away now.
    Status(Status),
    /// Show what is in a checkpoint of a pod, as `crik inspect` in it does.
    Inspect(Inspect),
    /// Say whether a pod's program could go on elsewhere, as `crik doctor` in it does, with its exit codes.
    Doctor(Doctor),
    /// Take a checkpoint of a pod's program, after which its container ends and the next one goes on.
    Checkpoint(Checkpoint),
    /// Move a pod: take a checkpoint, delete the pod, and wait until the one that comes after it goes on. Which node that is on the scheduler
    /// decides: cordon the node that it is to leave.
    Move(Move),
    /// Take checkpoints of all pods of a workload, and scale it to 0 (a Job: suspend it).
    ///
    /// The pods of a Deployment or a Job have other names when they are resumed, so their imageDir has to be without ${POD_NAME}, such as
    /// /checkpoints/NAME where there is one pod at a time; where it is not, this refuses.
    Suspend(Suspend),
    /// Scale a workload back to what it had before it was suspended, and wait until all of its programs go on.
    Resume(Resume),
}

/// Which pods.
#[derive(Debug, clap::Args)]
pub struct Chosen {
    /// Those of all namespaces.
    #[arg(short = 'A', long)]
    pub all_namespaces: bool,
    /// Those with these labels, as kubectl get takes them.
    #[arg(short = 'l', long, value_name = "SELECTOR")]
    pub selector: Option<String>,
}

/// Arguments of `list`.
#[derive(Debug, clap::Args)]
pub struct List {
    /// Which pods.
    #[command(flatten)]
    pub chosen: Chosen,
    /// How to print.
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    pub output: Output,
}

/// Arguments of `status`.
#[derive(Debug, clap::Args)]
pub struct Status {
    /// Which pods.
    #[command(flatten)]
    pub chosen: Chosen,
    /// Look again and again, until it is interrupted.
    #[arg(short, long)]
    pub watch: bool,
    /// How to print.
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    pub output: Output,
}

/// One pod, and its container that runs under crik.
#[derive(Debug, clap::Args)]
pub struct OnePod {
    /// The pod's name.
    pub pod: String,
    /// Its container that runs under crik, if nothing else tells.
    #[arg(short, long, value_name = "NAME")]
    pub container: Option<String>,
}

/// Arguments of `inspect`.
#[derive(Debug, clap::Args)]
pub struct Inspect {
    /// Which pod.
    #[command(flatten)]
    pub pod: OnePod,
    /// The checkpoint's number, or `newest`.
    #[arg(default_value = "newest")]
    pub generation: String,
    /// How to print.
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    pub output: Output,
}

/// Arguments of `doctor`.
#[derive(Debug, clap::Args)]
pub struct Doctor {
    /// Which pod.
    #[command(flatten)]
    pub pod: OnePod,
    /// Take a checkpoint and resume a copy of the program, as `crik doctor --trial` does.
    #[arg(long)]
    pub trial: bool,
    /// How to print.
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    pub output: Output,
}

/// Arguments of `checkpoint`.
#[derive(Debug, clap::Args)]
pub struct Checkpoint {
    /// Which pod.
    #[command(flatten)]
    pub pod: OnePod,
    /// Let the program go on after the checkpoint.
    #[arg(long)]
    pub leave_running: bool,
    /// How to print.
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    pub output: Output,
}

/// Arguments of `move`.
#[derive(Debug, clap::Args)]
pub struct Move {
    /// Which pod.
    #[command(flatten)]
    pub pod: OnePod,
    /// How long to wait until the next pod goes on.
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration, default_value = limits::KUBECTL_TIMEOUT)]
    pub timeout: Duration,
    /// How to print what came of it.
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    pub output: Output,
}

/// Arguments of `suspend`.
#[derive(Debug, clap::Args)]
pub struct Suspend {
    /// The workload: statefulset/NAME, deployment/NAME or job/NAME.
    pub workload: WorkloadName,
    /// Scale it to 0 also if a pod is not protected or has answered that there is no checkpoint: it then gets its SIGTERM, and begins anew when it
    /// is resumed. Where it is not known whether there is one, nothing is changed all the same.
    #[arg(long)]
    pub force: bool,
    /// How many checkpoints are taken at the same time. All have to be taken within 40 s of the first, whose program goes on by itself.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..), default_value = limits::KUBECTL_AT_ONCE)]
    pub at_once: u16,
    /// How long to wait until all pods are gone.
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration, default_value = limits::KUBECTL_TIMEOUT)]
    pub timeout: Duration,
}

/// Arguments of `resume`.
#[derive(Debug, clap::Args)]
pub struct Resume {
    /// The workload: statefulset/NAME, deployment/NAME or job/NAME.
    pub workload: WorkloadName,
    /// How long to wait until all programs go on.
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration, default_value = limits::KUBECTL_TIMEOUT)]
    pub timeout: Duration,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn words(line: &str) -> Vec<String> {
        Plugin::try_parse_from(line.split(' ')).unwrap().kubectl.connection.words().to_vec()
    }

    #[test]
    fn what_is_said_of_the_cluster_is_given_on_wherever_it_stands() {
        let expected = ["--namespace=jobs", "--context=prod"];
        assert_eq!(words("kubectl-crik list -n jobs --context prod"), expected);
        assert_eq!(words("kubectl-crik --context=prod -n jobs list -A"), expected);
        assert_eq!(
            words("kubectl-crik move job-0 --as-group a --as-group b"),
            ["--as-group=a", "--as-group=b"]
        );
        assert_eq!(words("kubectl-crik doctor job-0"), [""; 0]);
    }

    #[test]
    fn no_option_stands_for_two_things() {
        Plugin::command().debug_assert();
    }

    #[test]
    fn what_is_no_workload_is_named() {
        let said =
            Plugin::try_parse_from(["kubectl-crik", "suspend", "daemonset/x"]).unwrap_err().to_string();
        assert!(said.contains("statefulset/NAME, deployment/NAME or job/NAME"), "{said}");
    }
}
