//! Tries whether a bucket writes on conditions: without that, two pods could go on from one checkpoint.

use std::time::Duration;

use object_store::path::Path;
use object_store::{PutMode, UpdateVersion};

use crate::backend::bucket::failure::Failure;
use crate::backend::bucket::requests::Requests;
use crate::base::nonce::nonce;
use crate::base::units;

/// Where objects are made to try it, below the image directory's prefix.
pub const TRIALS: &str = "trials";

/// What is wrong with a bucket that writes in any case.
const LACKING: &str = "it does not write on conditions (If-None-Match and If-Match), so that two pods could go on from one \
                       checkpoint; use a store that does: Amazon S3, Google Cloud Storage, Azure Blob Storage, or MinIO";

/// What is wrong where a condition is not met that is.
const ALTERED: &str = "it refuses a write whose condition (If-Match) is met; let nothing between it and the pod change ETags, as proxies do \
                       that compress";

/// Writes an object on conditions that are met, and on some that are not; and another one if it fails in a way that may pass.
///
/// # Errors
/// It cannot be written, or also when it must not be.
pub fn try_conditions(requests: &Requests) -> Result<(), Failure> {
    let mut tries = requests.tries();
    loop {
        let unique = nonce().map_err(|error| Failure::lasting(&error.to_string()))?;
        match try_with(requests, &unique) {
            Err(failure) if tries.again(&failure) => {}
            tried => return tried,
        }
    }
}

fn try_with(requests: &Requests, unique: &str) -> Result<(), Failure> {
    let path = requests.path(&format!("{TRIALS}/{unique}"));
    let tried = conditions(requests, &path);
    // What is left is removed by a later sweep; what is refused is known from here on.
    let _ = requests.remove(vec![path]);
    tried
}

/// Each time something else is written: what is the same has the same ETag in most stores, whenever it was written.
fn conditions(requests: &Requests, path: &Path) -> Result<(), Failure> {
    let put = |contents: &[u8], mode| requests.put(path.clone(), contents.to_vec(), mode);
    let first = put(b"first", PutMode::Create).map_err(unknown)?;
    refused(put(b"second", PutMode::Create))?;
    put(b"third", PutMode::Update(first.clone())).map_err(unknown)?;
    refused(put(b"fourth", PutMode::Update(first)))
}

/// A condition that is met is no conflict, except where something on the way changes the ETag.
fn unknown(failure: Failure) -> Failure {
    match failure {
        Failure::Conflict => Failure::lasting(ALTERED),
        other => other,
    }
}

fn refused(tried: Result<UpdateVersion, Failure>) -> Result<(), Failure> {
    match tried {
        Ok(_) => Err(Failure::lasting(LACKING)),
        Err(Failure::Conflict) => Ok(()),
        Err(other) => Err(other),
    }
}

/// Removes what pods have left that died meanwhile, so long ago.
///
/// # Errors
/// The bucket fails.
pub fn sweep(requests: &Requests, age: Duration) -> Result<(), Failure> {
    let is_old = |last_modified| units::now().saturating_sub(last_modified) >= age.as_secs();
    let found = requests.list(TRIALS)?.into_iter();
    let old = found.filter(|meta| is_old(u64::try_from(meta.last_modified.timestamp()).unwrap_or(0)));
    requests.remove_waste(old.map(|meta| meta.location).collect())
}
