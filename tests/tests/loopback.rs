//! TCP connections both of whose ends the program has go on in the next pod, where NET_ADMIN counts; all others are closed, and by nothing
//! but a checkpoint that the program goes on from.

use std::fs::{self, Permissions};
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use crik_tests::build::workspace;
use crik_tests::chain;
use crik_tests::corpus::Workload;
use crik_tests::network::Network;
use crik_tests::pod::{Pod, Running};
use crik_tests::rootfs::Root;
use crik_tests::spec::{Spec, bind};
use crik_tests::story::{CHECKPOINTED, ends_with, resumes, started};
use crik_tests::volume::Volume;
use crik_tests::wait::wait_for;
use tempfile::TempDir;

/// What of the log says that checkpoints close something.
const CLOSES: &str = "a checkpoint closes TCP connections within the program (";

fn pod(volume: &Volume, connections: &[&str]) -> Pod {
    Pod::new(volume, "node-a", &[&["python3", "/programs/loopback.py"], connections].concat())
        .config("claimExpiry: 1s\nloopbackConnections: keep")
}

fn with_net_admin(spec: &mut Spec) {
    spec.capabilities.push("CAP_NET_ADMIN".to_owned());
}

/// Runs three pods, and expects that the first two are checkpointed and that no connection but these is ever closed.
fn go_on(pod: &Pod, closed: &[&str]) -> Result<Running> {
    let mut outputs = Vec::new();
    for generation in 0..2 {
        let mut running = started(pod)?;
        if generation > 0 {
            resumes(&running, generation)?;
        }
        ends_with(&mut running, CHECKPOINTED)?;
        // A program that is told to stop has the same exit code.
        ensure!(running.stderr.text().contains("is durable"), "{}", running.transcript());
        nothing_is_closed(&running, closed)?;
        outputs.push(running.stdout.text());
    }
    let third = started(pod)?;
    resumes(&third, 2)?;
    nothing_is_closed(&third, closed)?;
    outputs.push(third.stdout.text());
    chain::verify(&outputs)?;
    Ok(third)
}

fn nothing_is_closed(running: &Running, but: &[&str]) -> Result<()> {
    let told = running.stderr.text();
    let is_other =
        |line: &&str| line.contains(" is closed: ") && !but.iter().any(|one| line.starts_with(one));
    let others: Vec<&str> = told.lines().filter(is_other).collect();
    ensure!(others.is_empty() && !told.contains(CLOSES), "{}", running.transcript());
    Ok(())
}

/// Answers everybody who connects.
fn peer(network: &Network) -> Result<(u16, TcpListener)> {
    let listener = TcpListener::bind((network.host(), 0))?;
    let (port, own) = (listener.local_addr()?.port(), listener.try_clone()?);
    Ok((port, own))
}

fn echo(mut client: TcpStream) {
    let mut data = [0; 4096];
    while let Ok(count @ 1..) = client.read(&mut data) {
        if client.write_all(&data[..count]).is_err() {
            return;
        }
    }
}

#[test]
fn connections_within_the_program_go_on_over_three_pods() -> Result<()> {
    let (volume, network) = (Volume::new()?, Network::new()?);
    let all = ["many4:20", "many6:20", "mapped", "own", "half", "torrent", "queued"];
    let pod = pod(&volume, &all).network(&network).with(|spec| spec.env("PEER", network.host()));
    go_on(&pod.with(with_net_admin), &["queued"]).map(drop)
}

#[test]
fn what_was_on_its_way_in_both_directions_arrives() -> Result<()> {
    let volume = Volume::new()?;
    let third = go_on(&pod(&volume, &["stuck"]).with(with_net_admin), &[])?;
    third.exec(&["touch", "/tmp/read"])?;
    let is_read = || (third.stderr.text().matches("stuck: all is read").count() == 2).then_some(());
    wait_for("both ends to have read all", is_read).with_context(|| third.transcript())
}

#[test]
fn in_a_user_namespace_of_the_pods_own_they_go_on_too() -> Result<()> {
    let volume = Volume::new()?;
    let pod = pod(&volume, &["many4:3", "many6:3", "half"]).with(with_net_admin);
    go_on(&pod.with(|spec| spec.user_namespace = true), &[]).map(drop)
}

#[test]
fn two_thousand_connections_go_on() -> Result<()> {
    let volume = Volume::new()?;
    let pod = pod(&volume, &["many4:1000"]).with(with_net_admin);
    go_on(&pod, &[]).map(drop)
}

#[test]
fn without_the_capability_it_is_said_how_many_are_closed() -> Result<()> {
    let volume = Volume::new()?;
    let pod = pod(&volume, &["many4:7"]);
    let mut first = started(&pod)?;
    first.stderr.wait_for(&format!("{CLOSES}7, such as 127.0.0.1:")).with_context(|| first.transcript())?;
    let (_, doctor, _) = first.exec(&["crik", "doctor"])?;
    ensure!(doctor.contains("within the program (7, ") && doctor.contains("NET_ADMIN"), "{doctor}");
    ends_with(&mut first, CHECKPOINTED)?;
    let second = started(&pod)?;
    resumes(&second, 1)?;
    second.stderr.wait_for("many4:7 is closed: ")?;
    chain::verify(&[first.stdout.text(), second.stdout.text()]).map(drop)
}

/// A pod of this program of the corpus, without what its file gives it that keeps its connections.
fn without_the_right(volume: &Volume, name: &str) -> Result<(Pod, TempDir)> {
    let workload = Workload::read(&workspace().join(format!("tests/workloads/{name}.toml")))?;
    let files = tempfile::tempdir()?;
    fs::set_permissions(files.path(), Permissions::from_mode(0o755))?;
    for (name, text) in &workload.files {
        fs::write(files.path().join(name), text)?;
        fs::set_permissions(files.path().join(name), Permissions::from_mode(0o755))?;
    }
    let command: Vec<&str> = workload.command.iter().map(String::as_str).collect();
    let pod = Pod::new(volume, "node-a", &command).with(|spec| {
        spec.root = Root::named(&workload.root);
        spec.mounts.push(bind(files.path(), "/workload", "ro"));
    });
    Ok((pod, files))
}

#[test]
fn dask_without_the_capability_and_mpi_of_an_ordinary_user_are_told_how_many_they_lose_and_what_keeps_them()
-> Result<()> {
    let volumes = (Volume::new()?, Volume::new()?);
    let (dask, _files) = without_the_right(&volumes.0, "dask")?;
    let (mpi, _more) = without_the_right(&volumes.1, "mpi")?;
    let mpi = mpi.ordinary_user(1000)?;
    for (pod, takes) in [(&dask, &["NET_ADMIN"][..]), (&mpi, &["NET_ADMIN", "runAsUser: 0"])] {
        let mut running = pod.start()?;
        running.stderr.wait_for(CLOSES).with_context(|| running.transcript())?;
        let said = running.stderr.text();
        let (_, rest) = said.split_once(CLOSES).context("nothing is closed")?;
        let (told, _) = rest.split_once('\n').unwrap_or((rest, ""));
        let count: usize = told.split(',').next().unwrap_or_default().parse().context(told.to_owned())?;
        ensure!(count > 1 && takes.iter().all(|part| told.contains(part)), "{told}");
        running.stderr.wait_for("protected: ").with_context(|| running.transcript())?;
        ends_with(&mut running, CHECKPOINTED)?;
    }
    // Ranks that find each other gone end themselves.
    let mut next = mpi.replacement().start()?;
    let code = next.wait()?;
    ensure!(next.stderr.text().contains("MPI_ERRORS_ARE_FATAL"), "{code}\n{}", next.transcript());
    Ok(())
}

#[test]
fn they_are_closed_unless_it_is_wished_that_they_go_on() -> Result<()> {
    let volume = Volume::new()?;
    let pod =
        Pod::new(&volume, "node-a", &["python3", "/programs/loopback.py", "many4:3"]).with(with_net_admin);
    let mut first = started(&pod)?;
    first.stderr.wait_for(&format!("{CLOSES}3, such as 127.0.0.1:")).with_context(|| first.transcript())?;
    ends_with(&mut first, CHECKPOINTED)?;
    let second = started(&pod)?;
    resumes(&second, 1)?;
    second.stderr.wait_for("many4:3 is closed: ")
}

/// Takes a connection with these ports, and says so.
const TAKES: &str = "
import pathlib, socket, sys, time
port, to = map(int, sys.argv[1:])
listener = socket.create_server(('127.0.0.1', to))
client = socket.socket()
client.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
client.bind(('127.0.0.1', port))
client.connect(('127.0.0.1', to))
accepted = listener.accept()
listener.close()
pathlib.Path('/tmp/taken').touch()
time.sleep(3600)
";

#[test]
fn one_that_cannot_be_put_together_costs_the_connections_and_not_the_program() -> Result<()> {
    let volume = Volume::new()?;
    let pod = pod(&volume, &["many4:1"]).with(with_net_admin);
    let mut first = started(&pod)?;
    let (_, ports, _) = first.exec(&["sh", "-c", "awk '$4 == \"01\" {print $2, $3}' /proc/net/tcp"])?;
    let ports: Vec<String> = ports
        .split([' ', '\n'])
        .take(2)
        .filter_map(|address| u16::from_str_radix(address.split_once(':')?.1, 16).ok())
        .map(|port| port.to_string())
        .collect();
    // It waits for the first, so that there is time.
    let second = pod.replacement().start()?;
    second.stderr.wait_for("waiting for it")?;
    second.exec_on(
        &[&["python3", "-c", TAKES], &*ports.iter().map(String::as_str).collect::<Vec<_>>()].concat(),
    )?;
    let is_taken = || second.exec(&["test", "-e", "/tmp/taken"]).ok().filter(|(code, ..)| *code == Some(0));
    wait_for("the connection to be taken", is_taken)?;
    ends_with(&mut first, CHECKPOINTED)?;
    resumes(&second, 1)?;
    second.stderr.wait_for("connections within the program are closed, since with them criu failed")?;
    second.stderr.wait_for("many4:1 is closed: ")?;
    chain::verify(&[first.stdout.text(), second.stdout.text()]).map(drop)
}

#[test]
fn a_checkpoint_from_which_the_program_goes_on_closes_nothing_and_a_stop_tells_the_peer() -> Result<()> {
    let (volume, network) = (Volume::new()?, Network::new()?);
    let (port, listener) = peer(&network)?;
    let (tell, ended) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        while let Ok((client, _)) = listener.accept() {
            echo(client);
            let _ = tell.send(());
        }
    });
    let pod = pod(&volume, &["outside", "many4:3"]).with(with_net_admin).network(&network).with(|spec| {
        spec.env("PEER", network.host());
        spec.env("PORT", &port.to_string());
    });
    let mut first = started(&pod)?;
    for _ in 0..3 {
        let (code, _, said) = first.exec(&["crik", "checkpoint", "--leave-running"])?;
        ensure!(code == Some(0), "{said}");
        let lines = first.stdout.text().lines().count();
        first.wait_for_lines(lines + 20)?;
    }
    nothing_is_closed(&first, &[])?;
    ended.try_recv().map_or(Ok(()), |()| Err(anyhow::anyhow!("the connection ended")))?;
    ends_with(&mut first, CHECKPOINTED)?;
    ended
        .recv_timeout(Duration::from_secs(10))
        .context("the peer does not learn that the program is gone")?;
    let second = started(&pod)?;
    resumes(&second, 4)?;
    second.stderr.wait_for("outside is closed: ")?;
    nothing_is_closed(&second, &["outside"])?;
    chain::verify(&[first.stdout.text(), second.stdout.text()]).map(drop)
}
