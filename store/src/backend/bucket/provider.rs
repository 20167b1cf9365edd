//! From the address of a bucket to who is asked. Credentials, region, endpoint and authorities are where the provider's own tools have them:
//! in the environment, in files that it names, or with the machine's metadata service.

use std::io;
use std::path::Path;
use std::sync::Arc;

use object_store::aws::AmazonS3Builder;
use object_store::{ClientOptions, ObjectStore, RetryConfig};

use crate::backend::bucket::Place;
use crate::backend::bucket::http::Connector;
use crate::base::limits;

/// How addresses begin.
const SCHEMES: [&str; 1] = ["s3"];

/// The scheme of an address; none if it is a path.
pub fn scheme(address: &Path) -> Option<&'static str> {
    let address = address.to_str()?;
    SCHEMES
        .into_iter()
        .find(|scheme| address.strip_prefix(scheme).is_some_and(|rest| rest.starts_with("://")))
}

/// Where the bucket of this address is, with all that the environment tells of it.
///
/// # Errors
/// It is no address, or what is told is not enough.
pub fn place(address: &Path) -> io::Result<Place> {
    let (bucket, prefix) = parts(address)?;
    let store = s3(&bucket)?;
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

/// Requests are made again by who knows what came of them (`Requests`), and not below.
fn s3(bucket: &str) -> io::Result<Arc<dyn ObjectStore>> {
    let authorities = std::env::var_os("AWS_CA_BUNDLE");
    let retry = RetryConfig { max_retries: 0, ..RetryConfig::default() };
    let store = AmazonS3Builder::from_env()
        .with_bucket_name(bucket)
        .with_retry(retry)
        .with_client_options(ClientOptions::new().with_allow_http(true))
        .with_http_connector(Connector::new(authorities.as_deref().map(Path::new))?)
        .build()
        .map_err(io::Error::other)?;
    Ok(Arc::new(store))
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
        assert_eq!((scheme(Path::new("s3://b/a")), scheme(Path::new("/s3://b"))), (Some("s3"), None));
    }
}
