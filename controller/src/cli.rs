//! The command line; every flag has an environment variable.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{ArgAction, Parser, Subcommand, ValueEnum};

use crate::base::limits;
use crate::base::logging::LogFormat;
use crate::{check, serve, webhook};

/// Watches Nodes and says which of them are going away.
#[derive(Debug, Parser)]
#[command(version, args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct Cli {
    /// What to do instead.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Where Node objects come from.
    #[arg(long, value_enum, default_value_t = SourceKind::Kubernetes, env = "CRIK_SOURCE")]
    pub source: SourceKind,
    /// YAML file of Node objects; re-read when it changes.
    #[arg(long, value_name = "FILE", required_if_eq("source", "file"), env = "CRIK_NODES_FILE")]
    pub nodes_file: Option<PathBuf>,
    /// Kubeconfig of the API server; without it, as kubectl finds one, or as a pod does.
    #[arg(long, value_name = "FILE", env = "CRIK_KUBECONFIG")]
    pub kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig.
    #[arg(long, value_name = "NAME", env = "CRIK_CONTEXT")]
    pub context: Option<String>,
    /// Write a Kubernetes Event on a Node that begins to shut down or ends to.
    #[arg(long, value_name = "BOOL", action = ArgAction::Set, default_value_t = true, env = "CRIK_EVENTS")]
    pub events: bool,
    /// Tell each pod why it is told to stop, for which the Pod is read when its agent asks. Only with --source kubernetes.
    #[arg(long, value_name = "BOOL", action = ArgAction::Set, default_value_t = true, env = "CRIK_PODS")]
    pub pods: bool,
    /// Watch the pods that have the label crik.dev/inject, of which then is known what their agents have told. Only with --source
    /// kubernetes.
    #[arg(long, env = "CRIK_WORKLOADS")]
    pub workloads: bool,
    /// Take what agents report of their programs, each with its pod's own token: it is written on the pod, told by Events and counted.
    /// Only with --source kubernetes.
    #[arg(long, env = "CRIK_REPORTS")]
    pub reports: bool,
    /// YAML file of more signals.
    #[arg(long, value_name = "FILE", env = "CRIK_SIGNALS_FILE")]
    pub signals_file: Option<PathBuf>,
    /// Address to serve on; port 0 lets the system choose one, which the log then tells.
    #[arg(long, value_name = "ADDRESS", default_value_t = limits::LISTEN, env = "CRIK_LISTEN")]
    pub listen: SocketAddr,
    /// How to serve, and to whom.
    #[command(flatten)]
    pub serve: serve::Options,
    /// How the API server is answered.
    #[command(flatten)]
    pub webhook: webhook::Options,
    /// How to write the log, which goes to standard error.
    #[arg(long, value_enum, default_value_t = LogFormat::Human, env = "CRIK_LOG_FORMAT")]
    pub log_format: LogFormat,
    /// Say more.
    #[arg(long, env = "CRIK_DEBUG")]
    pub debug: bool,
}

/// What to do instead of serving.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Ask a controller, at each address that its name has, whether it is ready.
    Check(check::Options),
}

/// Where Node objects come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SourceKind {
    /// The API server, found as a pod in the cluster finds it, or by a kubeconfig.
    Kubernetes,
    /// A file, for machines without a cluster.
    File,
}
