//! From the address of a bucket to who is asked. Credentials, region, endpoint and authorities are where the provider's own tools have them:
//! in the environment, in files that it names, or with the machine's metadata service.

use std::io;
use std::path::Path;
use std::sync::Arc;

use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::{ClientOptions, ObjectStore, RetryConfig};

use crate::backend::bucket::Place;
use crate::backend::bucket::aws_file::AwsFile;
use crate::backend::bucket::http::Connector;
use crate::base::limits;

/// Makes a client for a bucket of this name.
type Provider = fn(&str) -> io::Result<Arc<dyn ObjectStore>>;

/// How addresses begin, and who is asked then.
const PROVIDERS: [(&str, Provider); 2] = [("s3", s3), ("az", az)];

/// Whether this is the address of a bucket, and no path.
pub fn is_address(address: &Path) -> bool {
    provider(address).is_some()
}

fn provider(address: &Path) -> Option<Provider> {
    let address = address.to_str()?;
    let is_of = |scheme: &str| address.strip_prefix(scheme).is_some_and(|rest| rest.starts_with("://"));
    PROVIDERS.into_iter().find(|(scheme, _)| is_of(scheme)).map(|(_, provider)| provider)
}

/// Whether this is an address below which an image directory can be; nothing is asked.
///
/// # Errors
/// It is not.
pub fn check(address: &Path) -> io::Result<()> {
    let (_, prefix) = parts(address)?;
    object_store::path::Path::parse(prefix).map(drop).map_err(io::Error::other)
}

/// Where the bucket of this address is, with all that the environment tells of it.
///
/// # Errors
/// It is no address, or what is told is not enough.
pub fn place(address: &Path) -> io::Result<Place> {
    let (bucket, prefix) = parts(address)?;
    let provider = provider(address).ok_or_else(|| io::Error::other("it is no address of a bucket"))?;
    let store = provider(&bucket)?;
    let prefix = object_store::path::Path::parse(&prefix).map_err(io::Error::other)?;
    Ok(Place { store, prefix, told: address.to_owned(), limit: limits::REQUEST_LIMIT })
}

/// The bucket and the prefix in it.
fn parts(address: &Path) -> io::Result<(String, String)> {
    let wrong = || io::Error::other("an address in a bucket is like s3://bucket/checkpoints/${POD_NAME}");
    let text = address.to_str().ok_or_else(wrong)?;
    let (_, rest) = text.split_once("://").ok_or_else(wrong)?;
    match rest.split_once('/') {
        Some((bucket, prefix)) if !bucket.is_empty() && !prefix.is_empty() => {
            Ok((bucket.to_owned(), prefix.trim_end_matches('/').to_owned()))
        }
        _ => Err(wrong()),
    }
}

/// Amazon S3, and what is like it.
fn s3(bucket: &str) -> io::Result<Arc<dyn ObjectStore>> {
    let authorities = std::env::var_os("AWS_CA_BUNDLE").filter(|path| !path.is_empty());
    let mut store = AmazonS3Builder::from_env();
    if let Some(file) = AwsFile::find() {
        store = store.with_credentials(Arc::new(file));
    }
    let store = store
        .with_bucket_name(bucket)
        .with_retry(once())
        .with_client_options(options())
        .with_http_connector(Connector::new(authorities.as_deref().map(Path::new))?);
    Ok(Arc::new(store.build().map_err(io::Error::other)?))
}

/// Azure Blob Storage, whose buckets are called containers.
fn az(container: &str) -> io::Result<Arc<dyn ObjectStore>> {
    let store = MicrosoftAzureBuilder::from_env()
        .with_container_name(container)
        .with_retry(once())
        .with_client_options(options())
        .with_http_connector(Connector::new(None)?);
    Ok(Arc::new(store.build().map_err(io::Error::other)?))
}

/// Requests are made again by who knows what came of them (`Requests`), and not below.
fn once() -> RetryConfig {
    RetryConfig { max_retries: 0, ..RetryConfig::default() }
}

/// An endpoint of one's own may have no TLS.
fn options() -> ClientOptions {
    ClientOptions::new().with_allow_http(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_bucket_and_a_prefix() {
        let told = |address: &str| parts(Path::new(address)).map_err(|error| error.to_string());
        assert_eq!(told("s3://bucket/a/job-0/"), Ok(("bucket".to_owned(), "a/job-0".to_owned())));
        for wrong in ["s3://bucket", "s3://bucket/", "s3:///a", "s3:a"] {
            assert!(told(wrong).unwrap_err().contains("s3://bucket/checkpoints/"), "{wrong}");
        }
        let told = ["s3://b/a", "az://b/a", "/s3://b/a", "az:/b/a", "gs://b/a"];
        assert_eq!(told.map(|path| is_address(Path::new(path))), [true, true, false, false, false]);
    }
}
