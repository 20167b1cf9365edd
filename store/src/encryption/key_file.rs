//! Reads `encryptionKeyFile`: a key a line, of three kinds, in any mixture; what begins with `#` and empty lines are passed over, so that
//! what `age-keygen` writes is such a file.
//!
//! - a secret of at least 32 bytes, as `head -c 32 /dev/urandom | base64` makes it,
//! - `age1…`, a recipient: who has it writes, and cannot read; it is no secret, so that what is read by its identity may be anybody's,
//!   unless it is signed besides,
//! - `AGE-SECRET-KEY-1…`, an identity: who has it reads what was written for its recipient, and writes for that too.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use thiserror::Error;
use zeroize::Zeroizing;

use super::key::Key;
pub use super::key::NoKey;
use super::keys::EncryptionKeys;
use crate::base::limits;

/// Why there are no keys.
#[derive(Debug, Error)]
pub enum KeyFileError {
    /// The file cannot be read.
    #[error("encryptionKeyFile {path}: {source}; mount the Secret there")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// It holds something else.
    #[error("encryptionKeyFile {path}: {problem}")]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: Problem,
    },
}

/// What is wrong with the text of a key file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Problem {
    /// It is something else.
    #[error("it has more than {max} bytes, as no file of keys has", max = limits::KEY_MAX_BYTES)]
    Large,
    /// Bytes as they come from a generator of random numbers.
    #[error("it is no text; a key is a line of base64, as head -c 32 /dev/urandom | base64 makes it")]
    NoText,
    /// It has comments at most.
    #[error("it has no key; make one by head -c 32 /dev/urandom | base64")]
    Empty,
    /// One of its lines is no key.
    #[error("line {number} {problem}")]
    Line {
        /// Which, from 1 on.
        number: usize,
        /// Why not.
        problem: NoKey,
    },
}

impl EncryptionKeys {
    /// Reads the file.
    ///
    /// # Errors
    /// It cannot be read, or one of its lines is no key.
    pub fn read(path: &Path) -> Result<Self, KeyFileError> {
        let mut bytes = Zeroizing::new(Vec::new());
        File::open(path)
            .and_then(|file| file.take(limits::KEY_MAX_BYTES + 1).read_to_end(&mut bytes))
            .map_err(|source| KeyFileError::Read { path: path.into(), source })?;
        Self::parse(&bytes).map_err(|problem| KeyFileError::Content { path: path.into(), problem })
    }

    /// Reads what such a file holds.
    ///
    /// # Errors
    /// One of its lines is no key, or there is none.
    pub fn parse(bytes: &[u8]) -> Result<Self, Problem> {
        if bytes.len() as u64 > limits::KEY_MAX_BYTES {
            return Err(Problem::Large);
        }
        let text = std::str::from_utf8(bytes).map_err(|_| Problem::NoText)?;
        let lines = (1..).zip(text.lines().map(str::trim));
        let said = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
        let keys =
            said.map(|(number, line)| Key::parse(line).map_err(|problem| Problem::Line { number, problem }));
        Self::new(keys.collect::<Result<Vec<_>, _>>()?).ok_or(Problem::Empty)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encryption::fixture::{IDENTITY, OTHER_RECIPIENT, RECIPIENT, SHARED};

    #[test]
    fn a_file_has_keys_of_any_kind_each_on_a_line() {
        let text = format!("# made today\r\n\n{SHARED}\r\n  {OTHER_RECIPIENT}\n#{SHARED}\n{IDENTITY}");
        let keys = EncryptionKeys::parse(text.as_bytes()).unwrap();
        // An identity goes by the name of its recipient.
        assert!(RECIPIENT.starts_with("age16a0a9h9c"));
        assert_eq!(format!("{keys:?}"), "EncryptionKeys(3c20a6d1, age1nv4ssxs2, age16a0a9h9c)");
    }

    #[test]
    fn what_age_keygen_writes_is_such_a_file() {
        let text = format!("# created: 2026-11-27T01:11:07Z\n# public key: {RECIPIENT}\n{IDENTITY}\n");
        assert_eq!(
            format!("{:?}", EncryptionKeys::parse(text.as_bytes()).unwrap()),
            "EncryptionKeys(age16a0a9h9c)"
        );
    }

    #[test]
    fn each_mistake_is_told_with_its_remedy_and_without_the_key() {
        let mistyped = IDENTITY.replace("6U573", "6U537");
        let cases = [
            (String::new(), "it has no key; make one by head -c 32"),
            ("# later\n \n".to_owned(), "it has no key"),
            (
                format!("{SHARED}\nhunter2\n"),
                "line 2 has 7 bytes, and a key has at least 32; make one by head",
            ),
            (format!("#\n{SHARED} {SHARED}"), "line 2 has white space within it"),
            (
                "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHsKLqeplhpW me@here".to_owned(),
                "line 1 has white space within it",
            ),
            (mistyped.clone(), "line 1 begins as an age key does, and is none; copy it"),
            (RECIPIENT[..RECIPIENT.len() - 1].to_owned(), "line 1 begins as an age key does, and is none"),
            (IDENTITY.to_lowercase().replace("age-", "AGE-"), "line 1 is an age key of a kind"),
            (
                "age1yubikey1qwt50d05nh5vutpdzmlg5wn80xq5negm4uj9ghv0snvdd3yysf5yw3rhl3t".to_owned(),
                "line 1 is an age key of a kind",
            ),
            ("AGE-SECRET-KEY-PQ-1QQQQ".to_owned(), "that crik does not know (a plugin's, or post-quantum)"),
            ("AGE-PLUGIN-YUBIKEY-1QQQQ".to_owned(), "line 1 is an age key of a kind"),
            ("x".repeat(64 << 10) + "\n", "it has more than 65536 bytes"),
        ];
        for (text, expected) in cases {
            let said = EncryptionKeys::parse(text.as_bytes()).unwrap_err().to_string();
            assert!(said.contains(expected), "{said}");
            assert!(
                !["hunter2", SHARED, &mistyped, "PQ-1", "yubikey1"].iter().any(|key| said.contains(key)),
                "{said}"
            );
        }
        assert_eq!(EncryptionKeys::parse(&[0xff; 32]).unwrap_err(), Problem::NoText);
    }

    #[test]
    fn a_file_that_cannot_be_read_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let said = |path: &Path| EncryptionKeys::read(path).unwrap_err().to_string();
        assert!(said(Path::new("/no/keys")).starts_with("encryptionKeyFile /no/keys: No such file"));
        assert!(said(directory.path()).ends_with("Is a directory (os error 21); mount the Secret there"));
        let file = directory.path().join("keys");
        std::fs::write(&file, "hunter2").unwrap();
        assert_eq!(
            said(&file).split(" has 7").next().unwrap(),
            format!("encryptionKeyFile {}: line 1", file.display())
        );
        std::fs::write(&file, SHARED).unwrap();
        assert_eq!(EncryptionKeys::read(&file).unwrap().ids(), "3c20a6d1");
    }
}
