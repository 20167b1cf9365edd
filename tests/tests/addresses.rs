//! Sockets that carry the address of their pod go on with that of the next: on another node, in another subnet.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::{Child, Command};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use crik_tests::chain;
use crik_tests::network::Network;
use crik_tests::pod::{Pod, Running};
use crik_tests::story::{CHECKPOINTED, STEPS, checkpointed, ends_with, resumes, started, starts_fresh};
use crik_tests::volume::Volume;
use crik_tests::wait::wait_for;
use socket2::SockRef;

/// What pods talk to on this machine.
struct Peer {
    network: Network,
    udp4: UdpSocket,
    udp6: UdpSocket,
    resets: TcpListener,
}

impl Peer {
    fn new() -> Result<Self> {
        let network = Network::new()?;
        let udp4 = UdpSocket::bind((network.host(), 0))?;
        let udp6 = UdpSocket::bind((network.host6(), 0))?;
        let resets = TcpListener::bind((network.host(), 0))?;
        let listener = resets.try_clone()?;
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                // Closed with a time of zero for what is left to send, a connection is reset (socket(7), SO_LINGER).
                let _ = SockRef::from(&client).set_linger(Some(Duration::ZERO));
            }
        });
        Ok(Self { network, udp4, udp6, resets })
    }

    /// A pod with these sockets.
    fn pod(&self, volume: &Volume, sockets: &[&str]) -> Result<Pod> {
        let command = [&["python3", "/programs/addresses.py"], sockets].concat();
        let ports = [self.udp4.local_addr()?, self.udp6.local_addr()?, self.resets.local_addr()?];
        let pod = Pod::new(volume, "node-a", &command).network(&self.network).config("claimExpiry: 1s");
        Ok(pod.with(|spec| {
            spec.env("PEER", self.network.host());
            spec.env("PEER6", self.network.host6());
            for (name, at) in ["PORT4", "PORT6", "RESETS"].into_iter().zip(ports) {
                spec.env(name, &at.port().to_string());
            }
        }))
    }
}

/// Expects that a pod is checkpointed and that the next, which is returned, goes on.
fn goes_on(pod: &Pod) -> Result<Running> {
    let first = checkpointed(pod)?;
    let second = started(pod)?;
    resumes(&second, 1)?;
    chain::verify(&[first, second.stdout.text()])?;
    Ok(second)
}

fn addresses(running: &Running) -> Result<[IpAddr; 2]> {
    running.addresses().context("the pod has no link")
}

/// Expects an answer at an address of a pod.
fn answers(ip: IpAddr, port: u16) -> Result<()> {
    wait_for("an answer", || {
        let mut client =
            TcpStream::connect_timeout(&SocketAddr::new(ip, port), Duration::from_secs(1)).ok()?;
        client.set_read_timeout(Some(Duration::from_secs(10))).ok()?;
        let mut answer = String::new();
        client.read_to_string(&mut answer).ok()?;
        (answer == "hello\n").then_some(())
    })
    .with_context(|| format!("{ip}:{port}"))
}

/// Expects a datagram from this address.
fn comes_from(socket: &UdpSocket, ip: IpAddr) -> Result<()> {
    socket.set_nonblocking(true)?;
    wait_for("a datagram of the next pod", || {
        let mut buffer = [0; 16];
        let (_, from) = socket.recv_from(&mut buffer).ok()?;
        (from.ip().to_canonical() == ip).then_some(())
    })
    .with_context(|| ip.to_string())
}

#[test]
fn listening_sockets_answer_at_the_next_pods_address() -> Result<()> {
    let (volume, peer) = (Volume::new()?, Peer::new()?);
    let pod = peer.pod(&volume, &["listen4", "listen6", "listen-mapped"])?;
    let second = goes_on(&pod)?;
    let [v4, v6] = addresses(&second)?;
    answers(v4, 7000)?;
    answers(v6, 7001)?;
    answers(v4, 7002)
}

#[test]
fn datagrams_come_from_the_next_pods_address_over_three_pods() -> Result<()> {
    let (volume, peer) = (Volume::new()?, Peer::new()?);
    let pod = peer.pod(&volume, &["send4", "send6", "send-mapped", "bound"])?;
    let outputs = [checkpointed(&pod)?, checkpointed(&pod)?];
    let third = started(&pod)?;
    resumes(&third, 2)?;
    let [v4, v6] = addresses(&third)?;
    comes_from(&peer.udp4, v4)?;
    comes_from(&peer.udp6, v6)?;
    chain::verify(&[outputs.concat(), third.stdout.text()]).map(drop)
}

#[test]
fn connections_that_were_reset_stay_so() -> Result<()> {
    let (volume, peer) = (Volume::new()?, Peer::new()?);
    goes_on(&peer.pod(&volume, &["reset", "accepted"])?).map(drop)
}

#[test]
fn a_connection_that_nobody_has_accepted_does_not_stand_in_the_way() -> Result<()> {
    let (volume, peer) = (Volume::new()?, Peer::new()?);
    goes_on(&peer.pod(&volume, &["queued"])?).map(drop)
}

/// A client of a Service, or a probe.
#[test]
fn nor_does_one_that_comes_from_outside() -> Result<()> {
    let (volume, peer) = (Volume::new()?, Peer::new()?);
    let pod = peer.pod(&volume, &["queueing"])?;
    let mut first = started(&pod)?;
    let [v4, _] = addresses(&first)?;
    let mut client = TcpStream::connect((v4, 7006))?;
    client.write_all(b"GET / HTTP/1.1\r\n\r\n")?;
    ends_with(&mut first, CHECKPOINTED)?;
    let second = started(&pod)?;
    resumes(&second, 1)?;
    chain::verify(&[first.stdout.text(), second.stdout.text()])?;
    let [v4, _] = addresses(&second)?;
    TcpStream::connect((v4, 7006)).context("it listens no more").map(drop)
}

#[test]
fn a_pod_without_an_address_of_that_kind_says_so_and_starts_fresh() -> Result<()> {
    let (volume, network) = (Volume::new()?, Network::new()?);
    let unlinked = Pod::new(&volume, "node-a", &["python3", "/programs/addresses.py", "listen6"])
        .config("claimExpiry: 1s")
        .with(|spec| spec.env("PEER6", network.host6()));
    checkpointed(&unlinked.clone().network(&network))?;
    let second = unlinked.start()?;
    starts_fresh(&second)?;
    second.stderr.wait_for("the program has a tcp socket at [fdc6:")?;
    second.stderr.wait_for("and this pod has none in its place (10.244.")
}

/// A program that sends to an agent in another container of its pod.
fn to_agent(volume: &Volume, patience: &str) -> Pod {
    Pod::new(volume, "node-a", &["python3", "/programs/addresses.py", "agent"])
        .config(&format!("claimExpiry: 1s\nvolumeTimeout: {patience}"))
}

/// Binds the agent's socket and takes what comes, for as long as it runs.
const AGENT: &str = "
import os, socket
if os.path.exists('/checkpoints/agent.sock'):
    os.unlink('/checkpoints/agent.sock')
agent = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
agent.bind('/checkpoints/agent.sock')
while True:
    agent.recv(16)
";

/// A program in another container of a pod, as far as its network and its volumes go.
struct Sidecar(Child);

impl Drop for Sidecar {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts the agent beside a container.
fn starts_agent(running: &Running) -> Result<Sidecar> {
    let first =
        running.processes().into_iter().find(|process| process.pid == 1).context("nobody is first")?;
    let mut command = Command::new("nsenter");
    command.args(["--target", &first.host_pid.to_string(), "--net", "--mount", "python3", "-c", AGENT]);
    Ok(Sidecar(command.spawn()?))
}

/// Checkpoints a program that sends to its agent.
fn checkpointed_with_agent(pod: &Pod) -> Result<String> {
    let mut running = pod.start()?;
    let _agent = starts_agent(&running)?;
    running.stdout.wait_for("agent sent")?;
    running.wait_for_lines(STEPS)?;
    ends_with(&mut running, CHECKPOINTED)?;
    Ok(running.stdout.text())
}

#[test]
fn an_agent_that_comes_after_the_pod_is_waited_for() -> Result<()> {
    let volume = Volume::new()?;
    let pod = to_agent(&volume, "60s");
    let first = checkpointed_with_agent(&pod)?;
    let second = pod.start()?;
    second.stderr.wait_for("waiting for /checkpoints/agent.sock, to which the program is connected")?;
    let _agent = starts_agent(&second)?;
    resumes(&second, 1)?;
    second.wait_for_lines(STEPS)?;
    chain::verify(&[first, second.stdout.text()])?;
    ensure!(!second.stdout.text().contains("agent E"), "{}", second.transcript());
    Ok(())
}

#[test]
fn without_its_agent_a_program_goes_on_unconnected() -> Result<()> {
    let volume = Volume::new()?;
    let pod = to_agent(&volume, "2s");
    let first = checkpointed_with_agent(&pod)?;
    let second = started(&pod)?;
    resumes(&second, 1)?;
    second
        .stderr
        .wait_for("did not come within 2s (volumeTimeout); the program's socket is left unconnected")?;
    second.stdout.wait_for("agent ENOTCONN")?;
    chain::verify(&[first, second.stdout.text()]).map(drop)
}

#[test]
fn a_damaged_image_is_skipped_and_said() -> Result<()> {
    let (volume, peer) = (Volume::new()?, Peer::new()?);
    let pod = peer.pod(&volume, &["listen4"])?.config("verifyHashes: false");
    checkpointed(&pod)?;
    let path = volume.newest("job-0")?.join("criu/files.img");
    let mut image = std::fs::read(&path)?;
    // The length of the first record leads far beyond the end.
    image[8..12].fill(0xff);
    std::fs::write(&path, image)?;
    let second = started(&pod)?;
    starts_fresh(&second)?;
    second.stderr.wait_for("criu/files.img is damaged: it ends within a record")
}

/// A pod whose command line is made by a shell, as a kubelet puts `$(POD_IP)` into arguments.
fn told(volume: &Volume, script: &str) -> Pod {
    Pod::new(volume, "node-a", &[])
        .config("claimExpiry: 1s")
        .with(|spec| spec.command(&["sh", "-c", &format!("set -e; {script}")], &[]))
}

#[test]
fn arguments_with_the_pods_own_values_are_no_other_command() -> Result<()> {
    let volume = Volume::new()?;
    let pod = told(
        &volume,
        "exec crik run -- python3 /programs/addresses.py --advertise=http://$POD_IP:80/ $HOSTNAME $KUBERNETES_NODE_NAME",
    );
    let outputs = [checkpointed(&pod)?, checkpointed(&pod)?];
    let third = started(&pod)?;
    resumes(&third, 2)?;
    third.stderr.wait_for("the program keeps that of its old pod")?;
    chain::verify(&[outputs.concat(), third.stdout.text()]).map(drop)
}

#[test]
fn a_configuration_that_is_made_for_each_pod_is_no_new_release() -> Result<()> {
    let volume = Volume::new()?;
    let job = |workers: &str| {
        let script = format!(
            "printf 'bind %s\nname %s\nworkers {workers}\n' $POD_IP $HOSTNAME > /etc/app.conf; exec crik run -- python3 \
             /programs/addresses.py /etc/app.conf"
        );
        told(&volume, &script)
    };
    let first = checkpointed(&job("2"))?;
    let mut second = started(&job("2"))?;
    resumes(&second, 1)?;
    ends_with(&mut second, CHECKPOINTED)?;
    chain::verify(&[first, second.stdout.text()])?;
    let third = started(&job("3"))?;
    starts_fresh(&third)?;
    third.stderr.wait_for("the program /etc/app.conf is another one than at the checkpoint")
}

#[test]
fn any_other_argument_is_another_command() -> Result<()> {
    let volume = Volume::new()?;
    let job = |batch: &str| {
        told(
            &volume,
            &format!("exec crik run -- python3 /programs/addresses.py --ip=$POD_IP --batch={batch}"),
        )
    };
    checkpointed(&job("10"))?;
    let second = started(&job("20"))?;
    starts_fresh(&second)?;
    second.stderr.wait_for("it is of another command")
}
