//! Keys for tests. Those of age's kind were made by its own `age-keygen`, and so stand for what it makes.

use super::context::Context;
use super::keys::EncryptionKeys;
use super::secret::{GenerationSecret, WrappedSecret};

pub(super) const SHARED: &str = "FHWI1zbF1C7JzG4Fh0nJbHMdOaYxuDeZpmQYXNN5YkE=";
pub(super) const OTHER_SHARED: &str = "OtherSecretOtherSecretOtherSecretOtherSecret";
pub(super) const IDENTITY: &str =
    "AGE-SECRET-KEY-1NDQF6U573NQUMFRE5UM2L73K8HQRP6LP999HSQD083NEPJ2PDGCQD94CWJ";
pub(super) const RECIPIENT: &str = "age16a0a9h9cjjj0e5uxtqsruu98vewf64m4ttck8sh8cxp4hucj730s3savtf";
pub(super) const OTHER_IDENTITY: &str =
    "AGE-SECRET-KEY-1MRRMDY8VLL9X5S22TK0ETWLDWVMP7L8836C8Q2Q5DYUGD59XRP8QAKDFXF";
pub(super) const OTHER_RECIPIENT: &str = "age1nv4ssxs2guav59jwx2g32w66wfejfpg34qvyls8jrxg5qfrn9drqxvalm4";

pub(super) const HERE: Context<'_> = Context { image_dir: b"/checkpoints/job-0", generation: 7 };

/// Two keys' secret of one generation, as it was written on 2026-11-27. Generations stay where they are when crik is upgraded.
pub(super) const EARLIER: &str = r#"[
    {
        "key": "3c20a6d1",
        "secret": "ge4h0Uj9zR1CmTJgFJe1n/CMs+Grf3hqEULKjZMYjy+kc7rRIriggoID4B2ZU6QHnq5Ag7QuJS4ER3Vbv4VN3j0q1DjgZDUtz0FZt5lDlVonm+JE5aZxIUYJd0E="
    },
    {
        "key": "age16a0a9h9c",
        "secret": "Tp68CNwyc7HEPNRfgiMi74cYBVKU+UfTG57C452M3FpNxQbNIWDh8DLDC9UsTzEVm2/Fu25ZgqN0OY3d5i0vl3vFXFRWmzE78cOg82opZTbwOLmYrW7RfuPo7C63bXJ5vfHJz5QBufD1iJ9uCAsJxA=="
    }
]"#;

/// A file of these lines.
pub(super) fn keys(lines: &[&str]) -> EncryptionKeys {
    EncryptionKeys::parse(lines.join("\n").as_bytes()).unwrap()
}

/// The secret of that generation.
pub(super) fn earlier() -> GenerationSecret {
    let wrapped: Vec<WrappedSecret> = serde_json::from_str(EARLIER).unwrap();
    GenerationSecret::unwrap(&keys(&[SHARED]), &HERE, &wrapped).unwrap()
}

/// As it comes back from a manifest.
pub(super) fn wrapped(secret: &GenerationSecret, lines: &[&str]) -> Vec<WrappedSecret> {
    let json = serde_json::to_string(&secret.wrap(&keys(lines), &HERE).unwrap()).unwrap();
    serde_json::from_str(&json).unwrap()
}
