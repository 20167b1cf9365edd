//! A bucket for tests, in a real S3 server on this machine, that fails as a test wants it.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use serde_json::json;

use crate::build::{cargo_bin, workspace};
use crate::crik::Told;
use crate::network::Network;
use crate::pod::Pod;
use crate::spec::Spec;
use crate::tools::moto;

/// Who may read objects; the server verifies no signature.
const OWNER: &str =
    "AWS4-HMAC-SHA256 Credential=test/20260101/eu-central-1/s3/aws4_request, SignedHeaders=host, Signature=0";

/// The bucket, empty at first. Ended with its server when it is dropped.
pub struct Bucket {
    server: Child,
    endpoint: String,
    network: Network,
}

impl Drop for Bucket {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

impl Bucket {
    /// Of a server that writes on conditions.
    ///
    /// # Errors
    /// It cannot be installed or started.
    pub fn new() -> Result<Self> {
        Self::start(&[])
    }

    /// Of one that takes no notice of conditions.
    ///
    /// # Errors
    /// As of [`Self::new`].
    pub fn careless() -> Result<Self> {
        Self::start(&["careless"])
    }

    fn start(how: &[&str]) -> Result<Self> {
        let network = Network::new()?;
        let mut server = Command::new(moto()?)
            .arg(workspace().join("tests/tools/moto/serve.py"))
            .arg(network.host())
            .args(how)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let told = server.stdout.take().context("no output")?;
        let mut bucket = Self { server, endpoint: String::new(), network };
        let mut port = String::new();
        BufReader::new(told).read_line(&mut port)?;
        ensure!(!port.is_empty(), "the S3 server does not start");
        bucket.endpoint = format!("http://{}:{}", bucket.network.host(), port.trim());
        bucket.put("bucket", "")?;
        Ok(bucket)
    }

    /// A pod whose image directory is in it.
    pub fn pod(&self, pod: Pod) -> Pod {
        let pod = pod.set_config("imageDir: s3://bucket/checkpoints/${POD_NAME}").network(&self.network);
        pod.with(|spec| self.tell(|name, value| Spec::env(spec, name, value)))
    }

    /// The variables by which the provider's own tools are told of it.
    fn tell(&self, mut tell: impl FnMut(&str, &str)) {
        tell("AWS_ENDPOINT_URL", &self.endpoint);
        tell("AWS_REGION", "eu-central-1");
        tell("AWS_ACCESS_KEY_ID", "test");
        tell("AWS_SECRET_ACCESS_KEY", "test");
    }

    /// Runs `crik` on this machine, on the image directory of `job-0` in it.
    ///
    /// # Errors
    /// It cannot be built or run.
    pub fn crik(&self, args: &[&str]) -> Result<Told> {
        let mut command = Command::new(cargo_bin("crik-agent", "crik", &[])?);
        command.args(args).args(["--image-dir", "s3://bucket/checkpoints/job-0"]);
        self.tell(|name, value| {
            command.env(name, value);
        });
        let output = command.output()?;
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Ok(Told { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) })
    }

    /// What happens to requests of this method, the first `after` of which go well, so many `times`; see the server.
    ///
    /// # Errors
    /// The server is gone.
    pub fn fail(&self, what: &str, method: &str, (after, times): (usize, usize)) -> Result<()> {
        let fault = json!([{"what": what, "method": method, "after": after, "times": times}]);
        self.put("_crik/faults", &fault.to_string())
    }

    /// The requests so far: method, path, and length of the body.
    ///
    /// # Errors
    /// The server is gone.
    pub fn asked(&self) -> Result<Vec<String>> {
        let mut answer = ureq::get(format!("{}/_crik/asked", self.endpoint)).call()?;
        Ok(answer
            .body_mut()
            .with_config()
            .limit(1 << 30)
            .read_to_string()?
            .lines()
            .map(str::to_owned)
            .collect())
    }

    /// The names of the objects below a prefix of it, up to a thousand.
    ///
    /// # Errors
    /// The server is gone.
    pub fn objects(&self, prefix: &str) -> Result<Vec<String>> {
        let query = format!("{}/bucket?list-type=2&prefix={prefix}", self.endpoint);
        let text = ureq::get(query).call()?.body_mut().read_to_string()?;
        let names = text.split("<Key>").skip(1).filter_map(|rest| rest.split_once("</Key>"));
        Ok(names.map(|(name, _)| name.to_owned()).collect())
    }

    /// Changes a byte in the middle of an object.
    ///
    /// # Errors
    /// The server is gone.
    pub fn alter(&self, object: &str) -> Result<()> {
        let url = format!("{}/bucket/{object}", self.endpoint);
        let mut bytes = ureq::get(&url)
            .header("Authorization", OWNER)
            .call()?
            .body_mut()
            .with_config()
            .limit(1 << 30)
            .read_to_vec()?;
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        ureq::put(&url).header("Authorization", OWNER).send(&bytes[..])?;
        Ok(())
    }

    fn put(&self, path: &str, body: &str) -> Result<()> {
        ureq::put(format!("{}/{path}", self.endpoint)).send(body)?;
        Ok(())
    }
}
