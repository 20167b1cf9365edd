//! HTTPS from files that change while the controller runs.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use crik_tests::build::cargo_bin;
use crik_tests::control_plane::{Certificates, Pair};
use crik_tests::controller::{Controller, metric};
use crik_tests::wait::{PATIENCE, wait_for};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

type Stream = StreamOwned<ClientConnection, TcpStream>;

/// An authority, and a volume with a pair of its own as the kubelet makes one of a Secret.
struct Material {
    directory: tempfile::TempDir,
    authority: Certificates,
}

impl Material {
    fn new() -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let authority = Certificates::new(&directory.path().join("pki"))?;
        let material = Self { directory, authority };
        fs::create_dir(material.volume())?;
        let first = material.pair("first")?;
        material.publish("..1", &fs::read(first.certificate)?, &fs::read(first.key)?)?;
        for file in ["tls.crt", "tls.key"] {
            symlink(format!("..data/{file}"), material.volume().join(file))?;
        }
        Ok(material)
    }

    fn pair(&self, name: &str) -> Result<Pair> {
        self.authority.server(name, &["localhost".to_owned(), "127.0.0.1".to_owned()])
    }

    fn volume(&self) -> PathBuf {
        self.directory.path().join("volume")
    }

    /// Updates the volume as the kubelet does (pkg/volume/util, AtomicWriter): a new directory, and one link that is
    /// swapped.
    fn publish(&self, version: &str, certificate: &[u8], key: &[u8]) -> Result<()> {
        let volume = self.volume();
        fs::create_dir(volume.join(version))?;
        fs::write(volume.join(version).join("tls.crt"), certificate)?;
        fs::write(volume.join(version).join("tls.key"), key)?;
        symlink(version, volume.join("..data_tmp"))?;
        Ok(fs::rename(volume.join("..data_tmp"), volume.join("..data"))?)
    }

    fn controller(&self) -> Result<Controller> {
        let (certificate, key) = (path(&self.volume(), "tls.crt"), path(&self.volume(), "tls.key"));
        let text = "kind: Node\nmetadata: {name: a, uid: a}\n";
        let flags = ["--tls-cert-file", &certificate, "--tls-key-file", &key];
        let controller = Controller::start_with_flags(text, &flags)?;
        controller.logs("the first list of nodes is complete")?;
        Ok(controller)
    }

    /// A connection that is verified against the authority.
    fn connect(&self, controller: &Controller) -> Result<Stream> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(self.authority.path("ca.crt"))?)?;
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from("localhost")?;
        let socket = TcpStream::connect(("127.0.0.1", controller.port()))?;
        socket.set_read_timeout(Some(PATIENCE))?;
        let mut stream = StreamOwned::new(ClientConnection::new(Arc::new(config), name)?, socket);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        Ok(stream)
    }

    /// The certificate that is served.
    fn served(&self, controller: &Controller) -> Result<CertificateDer<'static>> {
        let stream = self.connect(controller)?;
        let chain = stream.conn.peer_certificates().context("no certificate")?;
        Ok(chain.first().context("no certificate")?.clone().into_owned())
    }
}

fn path(directory: &Path, file: &str) -> String {
    directory.join(file).display().to_string()
}

fn certificate(pair: &Pair) -> Result<CertificateDer<'static>> {
    Ok(CertificateDer::from_pem_file(&pair.certificate)?)
}

/// Sends a request and returns all that comes, to an end of the stream that is none too early.
fn ask(mut stream: Stream, path: &str) -> Result<String> {
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

#[test]
fn a_client_that_knows_the_authority_is_served() -> Result<()> {
    let material = Material::new()?;
    let controller = material.controller()?;
    let answer = ask(material.connect(&controller)?, "/v1/nodes/a")?;
    ensure!(answer.starts_with("HTTP/1.1 200") && answer.contains("\"ready\""), "{answer}");
    let stranger = Material::new()?;
    ensure!(stranger.connect(&controller).is_err(), "a certificate of another authority is taken");
    Ok(())
}

#[test]
fn a_renewed_certificate_is_served_to_new_connections_and_old_ones_go_on() -> Result<()> {
    let material = Material::new()?;
    let controller = material.controller()?;
    let before = material.connect(&controller)?;
    let second = material.pair("second")?;
    material.publish("..2", &fs::read(&second.certificate)?, &fs::read(&second.key)?)?;
    let expected = certificate(&second)?;
    let began = Instant::now();
    wait_for("the renewed certificate", || (material.served(&controller).ok()? == expected).then_some(()))?;
    println!("a renewed certificate was served after {:?}", began.elapsed());
    ensure!(ask(before, "/healthz")?.starts_with("HTTP/1.1 200"));
    Ok(())
}

#[test]
fn a_broken_pair_is_told_and_the_old_one_stays_until_there_is_a_good_one() -> Result<()> {
    let material = Material::new()?;
    let controller = material.controller()?;
    let first = material.served(&controller)?;
    let (second, third) = (material.pair("second")?, material.pair("third")?);
    material.publish("..2", &fs::read(&second.certificate)?, &fs::read(&third.key)?)?;
    controller.logs("does not fit the certificate")?;
    ensure!(material.served(&controller)? == first);
    material.publish("..3", b"nonsense", &fs::read(&third.key)?)?;
    controller.logs("has no certificate in PEM")?;
    ensure!(material.served(&controller)? == first);
    fs::remove_file(material.volume().join("..data"))?;
    controller.logs("No such file or directory")?;
    ensure!(material.served(&controller)? == first);
    material.publish("..4", &fs::read(&third.certificate)?, &fs::read(&third.key)?)?;
    let expected = certificate(&third)?;
    wait_for("the good pair", || (material.served(&controller).ok()? == expected).then_some(()))
}

#[test]
fn clients_that_never_finish_their_handshake_hold_up_nobody() -> Result<()> {
    let material = Material::new()?;
    let controller = material.controller()?;
    let mut silent = Vec::new();
    for _ in 0..100 {
        silent.push(TcpStream::connect(("127.0.0.1", controller.port()))?);
    }
    ensure!(ask(material.connect(&controller)?, "/v1/nodes/a")?.starts_with("HTTP/1.1 200"));
    for mut stream in silent {
        stream.set_read_timeout(Some(PATIENCE))?;
        let end = stream.read(&mut [0; 16]);
        let ended =
            matches!(&end, Ok(0)) || end.as_ref().is_err_and(|e| e.kind() == ErrorKind::ConnectionReset);
        ensure!(ended, "{end:?}");
    }
    counts(&material, &controller, r#"crik_failed_handshakes_total{result="late"}"#, 100.0)
}

#[test]
fn who_speaks_no_tls_is_counted() -> Result<()> {
    let material = Material::new()?;
    let controller = material.controller()?;
    let mut plain = TcpStream::connect(("127.0.0.1", controller.port()))?;
    plain.write_all(b"GET /v1/nodes/a HTTP/1.1\r\nHost: x\r\n\r\n")?;
    counts(&material, &controller, r#"crik_failed_handshakes_total{result="refused"}"#, 1.0)
}

/// That a metric comes to this.
fn counts(material: &Material, controller: &Controller, name: &str, value: f64) -> Result<()> {
    wait_for(&format!("{name} to become {value}"), || {
        let metrics = ask(material.connect(controller).ok()?, "/metrics").ok()?;
        metric(&metrics, name).is_ok_and(|now| (now - value).abs() < 0.5).then_some(())
    })
}

#[test]
fn a_waiting_poll_is_answered_to_its_last_byte_at_a_stop() -> Result<()> {
    let material = Material::new()?;
    let mut controller = material.controller()?;
    let mut poll = material.connect(&controller)?;
    poll.write_all(b"GET /v1/nodes/a?wait=300s HTTP/1.1\r\nHost: x\r\n\r\n")?;
    wait_for("the poll to wait", || {
        let metrics = ask(material.connect(&controller).ok()?, "/metrics").ok()?;
        metrics.contains("\ncrik_waiting_polls 1\n").then_some(())
    })?;
    controller.terminate()?;
    let mut answer = String::new();
    // Without a close_notify this would be an error, since the answer might be cut off.
    poll.read_to_string(&mut answer)?;
    ensure!(answer.starts_with("HTTP/1.1 200") && answer.contains("\"ready\""), "{answer}");
    ensure!(controller.wait()?.success(), "{}", controller.log());
    Ok(())
}

/// What it says to these flags, and its exit code.
fn refused(flags: &[&str]) -> Result<(Option<i32>, String)> {
    let output = Command::new(cargo_bin("crik-controller", "crik-controller", &[])?)
        .args(["--source", "file", "--nodes-file", "/nonexistent", "--listen", "127.0.0.1:0"])
        .args(flags)
        .output()?;
    Ok((output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned()))
}

#[test]
fn files_that_cannot_be_used_are_named_at_the_start() -> Result<()> {
    let material = Material::new()?;
    let (certificate, key) = (path(&material.volume(), "tls.crt"), path(&material.volume(), "tls.key"));
    let other = material.pair("other")?.key.display().to_string();
    for (flags, code, expected) in [
        (vec!["--tls-cert-file", &certificate], 2, "--tls-key-file"),
        (vec!["--tls-key-file", &key], 2, "--tls-cert-file"),
        (
            vec!["--tls-cert-file", "/nowhere", "--tls-key-file", &key],
            1,
            "cannot read /nowhere, given by --tls-cert-file",
        ),
        (
            vec!["--tls-cert-file", &key, "--tls-key-file", &key],
            1,
            "given by --tls-cert-file, has no certificate",
        ),
        (vec!["--tls-cert-file", &certificate, "--tls-key-file", &certificate], 1, "has no private key"),
        (vec!["--tls-cert-file", &certificate, "--tls-key-file", &other], 1, "does not fit the certificate"),
    ] {
        let (ended, said) = refused(&flags)?;
        ensure!(ended == Some(code) && said.contains(expected), "{flags:?}: {ended:?} {said}");
    }
    Ok(())
}

#[test]
fn check_asks_over_tls_by_the_authority_that_it_is_given() -> Result<()> {
    let material = Material::new()?;
    let controller = material.controller()?;
    let check = |ca: &Path| {
        let mut command = Command::new(cargo_bin("crik-controller", "crik-controller", &[])?);
        let url = controller.url("").replace("http://127.0.0.1", "https://localhost");
        let output = command.args(["check", "--ca-file", &ca.to_string_lossy(), &url]).output()?;
        let told = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        anyhow::Ok((output.status.success(), told.concat()))
    };
    let (good, told) = check(&material.authority.path("ca.crt"))?;
    ensure!(good && told.contains("is ready"), "{told}");
    // As for a Secret without ca.crt.
    let (good, told) = check(Path::new("/nonexistent/ca.crt"))?;
    ensure!(good && told.contains("takes connections"), "{told}");
    let (good, told) = check(Path::new("/dev/null"))?;
    ensure!(!good && told.contains("has no certificate in PEM"), "{told}");
    Ok(())
}
