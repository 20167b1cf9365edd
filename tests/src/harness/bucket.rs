//! A bucket for tests, in a server on this machine: of S3, which fails as a test wants it, or Azure's own emulator.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result};
use serde_json::json;
use tempfile::TempDir;

use crate::build::{cargo_bin, workspace};
use crate::control_plane::Certificates;
use crate::crik::Told;
use crate::network::Network;
use crate::pod::Pod;
use crate::spec::Spec;
use crate::tools::{azurite, moto};

/// Who may read objects; the server verifies no signature.
const OWNER: &str =
    "AWS4-HMAC-SHA256 Credential=test/20260101/eu-central-1/s3/aws4_request, SignedHeaders=host, Signature=0";

/// The image directory of `job-0`.
pub const IMAGE_DIR: &str = "s3://bucket/checkpoints/job-0";

/// That in Azure.
pub const AZURE_IMAGE_DIR: &str = "az://bucket/checkpoints/job-0";

/// Whose server it is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Provider {
    S3,
    Azure,
}

/// The bucket, empty at first. Ended with its server when it is dropped.
pub struct Bucket {
    server: Child,
    provider: Provider,
    /// For the test itself.
    endpoint: String,
    tls: Option<Tls>,
    network: Network,
}

/// A second endpoint, and who vouches for it.
struct Tls {
    endpoint: String,
    authorities: TempDir,
}

/// The variables of credentials.
const KEYS: [&str; 2] = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"];

/// Where pods have the file of its authority.
const AUTHORITY: &str = "/etc/bucket/ca.crt";

/// Where pods have credentials, if not in their environment.
const CREDENTIALS: &str = "/etc/credentials";

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
        Self::start(&["--careless"])
    }

    /// Of one that speaks TLS, with a certificate of an authority that nobody knows.
    ///
    /// # Errors
    /// As of [`Self::new`].
    pub fn over_tls() -> Result<Self> {
        let (network, authorities) = (Network::new()?, tempfile::tempdir()?);
        let pair = Certificates::new(authorities.path())?.server("bucket", &[network.host().to_string()])?;
        let files = [&pair.certificate, &pair.key].map(|path| path.display().to_string());
        let (mut bucket, ports) = Self::of_moto(network, &["--tls", &files[0], &files[1]])?;
        let port = ports.split(' ').nth(1).context("no second port")?;
        let endpoint = format!("https://{}:{port}", bucket.network.host());
        bucket.tls = Some(Tls { endpoint, authorities });
        Ok(bucket)
    }

    /// A container in Azure Blob Storage.
    ///
    /// # Errors
    /// As of [`Self::new`].
    pub fn azure() -> Result<Self> {
        let network = Network::new()?;
        let mut server = Command::new("node");
        server.arg(azurite()?.join("serve.js")).arg(network.host()).arg("bucket");
        Ok(Self::serve(Provider::Azure, server, network)?.0)
    }

    fn start(how: &[&str]) -> Result<Self> {
        Ok(Self::of_moto(Network::new()?, how)?.0)
    }

    /// And all of its ports.
    fn of_moto(network: Network, how: &[&str]) -> Result<(Self, String)> {
        let mut server = Command::new(moto()?);
        server.arg(workspace().join("tests/tools/moto/serve.py")).args([network.host(), "bucket"]).args(how);
        Self::serve(Provider::S3, server, network)
    }

    /// Of a server that prints its ports.
    fn serve(provider: Provider, mut server: Command, network: Network) -> Result<(Self, String)> {
        let mut server = server.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        let told = server.stdout.take().context("no output")?;
        let mut bucket = Self { server, provider, endpoint: String::new(), tls: None, network };
        let mut ports = String::new();
        BufReader::new(told).read_line(&mut ports)?;
        let ports = ports.trim().to_owned();
        let port =
            ports.split(' ').next().filter(|port| !port.is_empty()).context("the server does not start")?;
        bucket.endpoint = format!("http://{}:{port}", bucket.network.host());
        Ok((bucket, ports))
    }

    /// Where this machine reaches the server.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// On which it is reached.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// A pod whose image directory is in it.
    pub fn pod(&self, pod: Pod) -> Pod {
        self.pod_below(pod, "checkpoints")
    }

    /// The same below another prefix.
    pub fn pod_below(&self, pod: Pod, prefix: &str) -> Pod {
        let scheme = if self.provider == Provider::S3 { "s3" } else { "az" };
        let pod = pod.set_config(&format!("imageDir: {scheme}://bucket/{prefix}/${{POD_NAME}}"));
        let mut pod =
            pod.network(&self.network).with(|spec| self.tell(|name, value| Spec::env(spec, name, value)));
        if let Some(tls) = &self.tls {
            let authority = fs::read_to_string(tls.authorities.path().join("ca.crt")).unwrap_or_default();
            pod = pod.config_map("/etc/bucket", &[("ca.crt", &authority)]);
            pod = pod.with(|spec| spec.env("AWS_CA_BUNDLE", AUTHORITY));
        }
        pod
    }

    /// The same, with its credentials in a file of a Secret.
    pub fn pod_with_file(&self, pod: Pod) -> Pod {
        let file = "[jobs]\naws_access_key_id = test\naws_secret_access_key = test\n";
        let pod = self.pod(pod).secret(CREDENTIALS, &[("credentials", file)]);
        pod.with(|spec| {
            KEYS.into_iter().for_each(|name| spec.env(name, ""));
            spec.env("AWS_SHARED_CREDENTIALS_FILE", &format!("{CREDENTIALS}/credentials"));
            spec.env("AWS_PROFILE", "jobs");
        })
    }

    /// The variables by which the provider's own tools are told of it.
    fn tell(&self, mut tell: impl FnMut(&str, &str)) {
        match self.provider {
            Provider::S3 => {
                tell("AWS_ENDPOINT_URL", self.tls.as_ref().map_or(&self.endpoint, |tls| &tls.endpoint));
                tell("AWS_REGION", "eu-central-1");
                KEYS.into_iter().for_each(|name| tell(name, "test"));
            }
            Provider::Azure => {
                tell("AZURE_STORAGE_USE_EMULATOR", "true");
                tell("AZURITE_BLOB_STORAGE_URL", &self.endpoint);
            }
        }
    }

    /// Runs `crik` on this machine, on the image directory of `job-0` in it.
    ///
    /// # Errors
    /// It cannot be built or run.
    pub fn crik(&self, args: &[&str]) -> Result<Told> {
        self.told(&[args, &["--image-dir", IMAGE_DIR]].concat())
    }

    /// Runs `crik` on this machine where it can reach the server.
    ///
    /// # Errors
    /// It cannot be built or run.
    pub fn told(&self, args: &[&str]) -> Result<Told> {
        let mut command = Command::new(cargo_bin("crik-agent", "crik", &[])?);
        command.args(args);
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
        ureq::put(format!("{}/_crik/faults", self.endpoint)).send(&fault.to_string())?;
        Ok(())
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

    /// The names of the objects below a prefix of it, up to a thousand, the smallest first.
    ///
    /// # Errors
    /// The server is gone.
    pub fn objects(&self, prefix: &str) -> Result<Vec<String>> {
        let query = format!("{}/bucket?list-type=2&prefix={prefix}", self.endpoint);
        let text = ureq::get(query).call()?.body_mut().read_to_string()?;
        let object = |rest: &str| {
            let (name, rest) = rest.split_once("</Key>")?;
            let (size, _) = rest.split_once("<Size>")?.1.split_once("</Size>")?;
            Some((size.parse::<u64>().ok()?, name.to_owned()))
        };
        let mut objects: Vec<(u64, String)> = text.split("<Key>").skip(1).filter_map(object).collect();
        objects.sort();
        Ok(objects.into_iter().map(|(_, name)| name).collect())
    }

    /// Changes a byte in the middle of an object.
    ///
    /// # Errors
    /// The server is gone.
    pub fn alter(&self, object: &str) -> Result<()> {
        let mut bytes = self.read(object)?;
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        self.write(object, &bytes)
    }

    /// Copies all objects below a prefix to another one.
    ///
    /// # Errors
    /// The server is gone.
    pub fn copy_below(&self, from: &str, to: &str) -> Result<()> {
        self.objects(&format!("{from}/"))?.iter().try_for_each(|object| {
            let name = object.strip_prefix(from).context("another prefix")?;
            self.write(&format!("{to}{name}"), &self.read(object)?)
        })
    }

    fn read(&self, object: &str) -> Result<Vec<u8>> {
        let url = format!("{}/bucket/{object}", self.endpoint);
        let mut answer = ureq::get(url).header("Authorization", OWNER).call()?;
        Ok(answer.body_mut().with_config().limit(1 << 30).read_to_vec()?)
    }

    fn write(&self, object: &str, bytes: &[u8]) -> Result<()> {
        let url = format!("{}/bucket/{object}", self.endpoint);
        ureq::put(url).header("Authorization", OWNER).send(bytes)?;
        Ok(())
    }
}
