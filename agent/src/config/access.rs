//! How to reach the controller.

use std::path::PathBuf;

use url::Url;

/// What the configuration says of the controller.
#[derive(Debug, Clone, Default)]
pub struct Access {
    /// Its URL.
    pub url: String,
    /// The file with the token to show it.
    pub token_file: Option<PathBuf>,
    /// The file with the authorities that vouch for it.
    pub ca_file: Option<PathBuf>,
}

/// Reads `nodeStateServerURL`.
///
/// # Errors
/// What is wrong with it, and what would be right.
pub fn parse_url(url: &str) -> Result<Url, String> {
    let example = "such as http://crik-controller.crik:9376";
    let parsed = Url::parse(url).map_err(|error| format!("must be a URL, {example}: {error}"))?;
    if !matches!(parsed.scheme(), "http" | "https") {
        return Err(format!("must start with http:// or https://, {example}"));
    }
    if !parsed.username().is_empty() || parsed.password().is_some() {
        return Err("must not have a user's name or password; see nodeStateServerTokenFile".to_owned());
    }
    if parsed.query().is_some() || parsed.fragment().is_some() {
        return Err(format!("must have no ? and no #, {example}"));
    }
    Ok(parsed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_mistake_is_named() {
        for (url, message) in [
            ("crik:9376", "must start with http://"),
            ("crik-controller", "must be a URL"),
            ("http://", "must be a URL"),
            ("http://me:secret@crik", "must not have a user's name"),
            ("http://crik/?a=b", "must have no ?"),
        ] {
            let error = parse_url(url).unwrap_err();
            assert!(error.contains(message), "{url}: {error}");
        }
    }
}
