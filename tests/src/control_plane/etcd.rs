//! The control plane's database.

use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::daemon::Daemon;
use super::ports::Port;

/// etcd on the loopback. It does not wait for the disk: a control plane does not outlive its test.
pub struct Etcd {
    daemon: Daemon,
    port: Port,
    _peers: Port,
}

impl Etcd {
    /// Starts one, and waits until it answers.
    ///
    /// # Errors
    /// It does not answer.
    pub fn start(directory: &Path) -> Result<Self> {
        let (port, peers) = (Port::take()?, Port::take()?);
        let (clients_url, peers_url) = (url(&port), url(&peers));
        let flags = [
            ("name", "test"),
            ("data-dir", &directory.join("etcd").display().to_string()),
            ("listen-client-urls", &clients_url),
            ("advertise-client-urls", &clients_url),
            ("listen-peer-urls", &peers_url),
            ("initial-advertise-peer-urls", &peers_url),
            ("initial-cluster", &format!("test={peers_url}")),
            ("unsafe-no-fsync", "true"),
            // 15,000 nodes of 20 KB, each written many times.
            ("quota-backend-bytes", &(8_u64 << 30).to_string()),
            ("log-level", "warn"),
        ]
        .map(|(name, value)| format!("--{name}={value}"))
        .to_vec();
        let mut etcd = Self { daemon: Daemon::start("etcd", flags, directory)?, port, _peers: peers };
        let health = format!("{}/health", etcd.url());
        etcd.daemon.wait_until("etcd to answer", || {
            ureq::get(&health).call().is_ok_and(|answer| answer.status() == 200)
        })?;
        Ok(etcd)
    }

    /// Where clients reach it.
    pub fn url(&self) -> String {
        url(&self.port)
    }

    /// Its port for clients.
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// Forgets all history up to now, as the API server has it done every five minutes: whoever goes on from an older
    /// version is told 410 Gone.
    ///
    /// # Errors
    /// It refuses.
    pub fn compact(&self) -> Result<()> {
        let revision = self.ask("range", &json!({"key": "AA=="}))?["header"]["revision"].clone();
        revision.as_str().context("etcd did not tell its revision")?;
        self.ask("compaction", &json!({"revision": revision, "physical": true})).map(drop)
    }

    fn ask(&self, verb: &str, body: &Value) -> Result<Value> {
        let mut answer =
            ureq::post(format!("{}/v3/kv/{verb}", self.url())).send(serde_json::to_vec(body)?)?;
        Ok(serde_json::from_str(&answer.body_mut().read_to_string()?)?)
    }

    /// Its process.
    pub fn daemon(&mut self) -> &mut Daemon {
        &mut self.daemon
    }
}

fn url(port: &Port) -> String {
    format!("http://127.0.0.1:{}", port.number())
}
