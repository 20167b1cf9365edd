//! Wires source, index and server together.

use std::future::pending;
use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail, ensure};
use kube::{Client, Config};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::base::delayed::delayed;
use crate::base::logging;
use crate::base::outcomes::Outcomes;
use crate::cli::{Cli, Command, SourceKind};
use crate::connections::listen;
use crate::index::Index;
use crate::serve::{AuthKind, Service};
use crate::signals::Signals;
use crate::tls::{Files, Tls};
use crate::webhook::{Evicted, Webhook};
use crate::workloads::Workloads;
use crate::{check, node_events, serve, signals, source, workloads};

const NO_WAY: &str = "there is no way to the API server";

/// Runs until it is told to stop. A failure is one line of the log, in its format, and exit code 1.
pub async fn run(cli: Cli) -> ExitCode {
    logging::init(cli.log_format, cli.debug);
    let done = match &cli.command {
        Some(Command::Check(options)) => check(options).await,
        None => serve_nodes(cli).await,
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Prints what each replica says.
///
/// # Errors
/// One is not ready.
async fn check(options: &check::Options) -> Result<()> {
    let told = check::run(options).await?;
    Ok(told.iter().try_for_each(|line| writeln!(std::io::stdout(), "{line}"))?)
}

/// From source to server.
///
/// # Errors
/// The address cannot be had, or there is no way to the API server.
async fn serve_nodes(cli: Cli) -> Result<()> {
    let stopping = stopping();
    let index = Arc::new(Index::new());
    let workloads = start_workloads(&cli).await?;
    let service = service(&cli, Arc::clone(&index), workloads).await?;
    let source = start_source(&cli, &index, &service.events).await?;
    let clock = tokio::spawn(keep_time(index));
    let listener = listen(cli.listen).with_context(|| {
        format!("cannot listen on {}; is another program there? see --listen", cli.listen)
    })?;
    tracing::info!(address = %listener.local_addr()?, "listening");
    let webhook = start_webhook(&cli, &service, stopping.clone()).await?;
    tokio::select! {
        () = async { tokio::join!(serve::serve(listener, service, stopping), webhook); } => Ok(()),
        // To go on would be to tell old states as fresh ones.
        ended = source => bail!("the source of nodes has ended, which is a defect: {ended:?}"),
        ended = clock => bail!("the clock of the nodes has ended, which is a defect: {ended:?}"),
    }
}

/// Answers the API server until some time after the word to stop, if it is to be answered.
///
/// # Errors
/// A file cannot be used, or the address cannot be had.
async fn start_webhook(
    cli: &Cli,
    service: &Service,
    told: watch::Receiver<bool>,
) -> Result<impl Future<Output = ()> + use<>> {
    let webhook = match cli.webhook.webhook_listen {
        Some(_) => {
            let evicted = service.workloads.clone().map(|workloads| Evicted {
                index: Arc::clone(&service.index),
                workloads,
                outcomes: service.evictions.clone(),
            });
            Webhook::new(&cli.webhook, asking_once(cli).await?, service.admissions.clone(), evicted)?
        }
        None => None,
    };
    let over = delayed(told, cli.serve.shutdown_delay);
    Ok(async move {
        if let Some(webhook) = webhook {
            webhook.serve(over).await;
        }
    })
}

/// Becomes true when the process is told to stop.
fn stopping() -> watch::Receiver<bool> {
    let (stop, stopping) = watch::channel(false);
    tokio::spawn(async move {
        let name = told_to_stop().await;
        tracing::info!("stopping after {name}");
        let _ = stop.send(true);
    });
    stopping
}

/// The built-in signals and those of the signals file.
fn signals(cli: &Cli) -> Result<Signals> {
    let more = cli.signals_file.as_deref().map(signals::read).transpose()?;
    Ok(Signals::built_in().with(more.unwrap_or_default()))
}

/// Where the API server is.
async fn api_server(cli: &Cli) -> Result<Config> {
    let config = source::api_server::config(cli.kubeconfig.as_ref(), cli.context.as_deref()).await;
    config.context(NO_WAY)
}

/// How and to whom the nodes are served.
async fn service(cli: &Cli, index: Arc<Index>, workloads: Option<Arc<Workloads>>) -> Result<Service> {
    let options = cli.serve.clone();
    let files = options.tls_cert_file.clone().zip(options.tls_key_file.clone());
    let flags = ["--tls-cert-file", "--tls-key-file"];
    let files = files.map(|(certificate, key)| Files { certificate, key, flags });
    let tls = files.map(Tls::start).transpose()?;
    let client = match options.auth {
        AuthKind::Token => Some(asking_once(cli).await?),
        AuthKind::None => None,
    };
    ensure!(!cli.reports || cli.source == SourceKind::Kubernetes, "--reports needs --source kubernetes");
    let reports = if cli.reports { Some(asking_once(cli).await?) } else { None };
    Ok(Service {
        index,
        options,
        client,
        pods: pods(cli).await?,
        workloads,
        reports,
        instance: instance(),
        tls,
        events: Outcomes::default(),
        admissions: Outcomes::default(),
        evictions: Outcomes::default(),
        eviction_deadline: cli.webhook.limits.eviction_deadline,
    })
}

/// This replica's name.
fn instance() -> String {
    std::env::var("HOSTNAME").unwrap_or_default()
}

/// By which pods are looked at, if they are.
async fn pods(cli: &Cli) -> Result<Option<Client>> {
    if !cli.pods || cli.source != SourceKind::Kubernetes {
        return Ok(None);
    }
    asking_once(cli).await.map(Some)
}

/// The labelled pods, which are watched from now on, if that is wanted.
///
/// # Errors
/// There is no way to the API server, or no API server.
async fn start_workloads(cli: &Cli) -> Result<Option<Arc<Workloads>>> {
    if !cli.workloads {
        return Ok(None);
    }
    ensure!(cli.source == SourceKind::Kubernetes, "--workloads needs --source kubernetes");
    let known = Arc::new(Workloads::default());
    tokio::spawn(workloads::run(asking_once(cli).await?, Arc::clone(&known)));
    Ok(Some(known))
}

/// What takes too long is asked again by the agent, and not here.
async fn asking_once(cli: &Cli) -> Result<Client> {
    let mut config = api_server(cli).await?;
    config.default_retry = false;
    Client::try_from(config).context(NO_WAY)
}

async fn start_source(cli: &Cli, index: &Arc<Index>, events: &Outcomes) -> Result<JoinHandle<()>> {
    let signals = Arc::new(signals(cli)?);
    let told = Arc::clone(index);
    let tell = move |event| told.apply(event);
    match (cli.source, &cli.nodes_file) {
        (SourceKind::File, path) => {
            let path = path.clone().context("--source file needs --nodes-file")?;
            Ok(tokio::spawn(source::file::run(path, signals, tell)))
        }
        (SourceKind::Kubernetes, _) => {
            let config = api_server(cli).await?;
            if cli.events {
                let client = Client::try_from(config.clone()).context(NO_WAY)?;
                tokio::spawn(node_events::run(client, index.shutdowns(), instance(), events.clone()));
            }
            let watching = source::api_server::Watching::new(config).context(NO_WAY)?;
            Ok(tokio::spawn(source::kubernetes::run(watching, signals, tell)))
        }
    }
}

/// Lets the index do what is due by time alone.
async fn keep_time(index: Arc<Index>) {
    loop {
        let due = index.next_due();
        let tick = async {
            match due {
                Some(due) => tokio::time::sleep_until(due.into()).await,
                None => pending().await,
            }
        };
        tokio::select! {
            () = index.due_changed() => {}
            () = tick => index.tick(),
        }
    }
}

async fn told_to_stop() -> &'static str {
    let (Ok(mut terminate), Ok(mut interrupt)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        return pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    }
}
