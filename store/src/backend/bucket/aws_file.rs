//! Credentials of Amazon's own tools in their file, as it is mounted from a Secret: read each time, since a Secret may change.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use object_store::aws::AwsCredential;
use object_store::{CredentialProvider, Error};

/// What comes before the file, as in Amazon's tools.
const FIRST: [&str; 2] = ["AWS_ACCESS_KEY_ID", "AWS_WEB_IDENTITY_TOKEN_FILE"];

/// A profile of the file.
#[derive(Debug, PartialEq, Eq)]
pub struct AwsFile {
    path: PathBuf,
    profile: String,
}

impl AwsFile {
    /// The one that the environment tells of, or that is where it always is; none if there is no such file, or something that comes first.
    pub fn find() -> Option<Self> {
        Self::told(&|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
    }

    fn told(variable: &dyn Fn(&str) -> Option<String>) -> Option<Self> {
        if FIRST.into_iter().any(|name| variable(name).is_some()) {
            return None;
        }
        let usual = || variable("HOME").map(|home| Path::new(&home).join(".aws/credentials"));
        let path = variable("AWS_SHARED_CREDENTIALS_FILE").map(PathBuf::from);
        let path = path.or_else(|| usual().filter(|path| path.exists()))?;
        Some(Self { path, profile: variable("AWS_PROFILE").unwrap_or_else(|| "default".to_owned()) })
    }

    fn read(&self) -> io::Result<AwsCredential> {
        let text = fs::read_to_string(&self.path)?;
        let value = |key| value(&text, &self.profile, key);
        let needed = |key| {
            let missing = || io::Error::other(format!("its profile {} has no {key}", self.profile));
            value(key).ok_or_else(missing)
        };
        let (key_id, secret_key) = (needed("aws_access_key_id")?, needed("aws_secret_access_key")?);
        Ok(AwsCredential { key_id, secret_key, token: value("aws_session_token") })
    }
}

#[async_trait]
impl CredentialProvider for AwsFile {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        let told = |error| format!("the credentials in {}: {error}", self.path.display()).into();
        self.read().map(Arc::new).map_err(|error| Error::Generic { store: "S3", source: told(error) })
    }
}

/// The value of a key in a section of an INI file.
fn value(text: &str, section: &str, key: &str) -> Option<String> {
    let lines = text.lines().map(str::trim);
    let mut own = lines.skip_while(|line| *line != format!("[{section}]")).skip(1);
    let mut own = std::iter::from_fn(|| own.next().filter(|line| !line.starts_with('[')));
    own.find_map(|line| {
        let (name, value) = line.split_once('=')?;
        (name.trim() == key).then(|| value.trim().to_owned())
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::io::Write as _;

    use super::*;

    const TEXT: &str = "[other]\naws_access_key_id = theirs\n\n# ours\n[default]\naws_access_key_id=id\n aws_secret_access_key = a=b \n\
                        [last]\naws_session_token = no\n";

    #[test]
    fn a_profile_of_the_file_is_read_whenever_it_is_asked_for() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(TEXT.as_bytes()).unwrap();
        let of = |profile: &str| AwsFile { path: file.path().to_owned(), profile: profile.to_owned() };
        let found = of("default").read().unwrap();
        assert_eq!((&*found.key_id, &*found.secret_key, found.token), ("id", "a=b", None));
        let error = of("other").read().unwrap_err().to_string();
        assert_eq!(error, "its profile other has no aws_secret_access_key");
        assert!(of("none").read().is_err());
    }

    #[test]
    fn what_comes_first_is_taken_as_amazons_tools_do() {
        let told = |pairs: &[(&str, &str)]| {
            let pairs: HashMap<&str, &str> = pairs.iter().copied().collect();
            AwsFile::told(&|name| pairs.get(name).map(|value| (*value).to_owned()))
        };
        let file = ("AWS_SHARED_CREDENTIALS_FILE", "/secret/credentials");
        let expected = |profile: &str| Some(AwsFile { path: file.1.into(), profile: profile.to_owned() });
        assert_eq!(told(&[file]), expected("default"));
        assert_eq!(told(&[file, ("AWS_PROFILE", "jobs")]), expected("jobs"));
        assert_eq!(told(&[file, ("AWS_ACCESS_KEY_ID", "id")]), None);
        assert_eq!(told(&[file, ("AWS_WEB_IDENTITY_TOKEN_FILE", "/token")]), None);
        assert_eq!(told(&[("HOME", "/nowhere")]), None);
    }
}
