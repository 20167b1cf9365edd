//! The token that is shown to the controller.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use hyper::header::HeaderValue;

use crate::base::limits;
use crate::cluster::controller::unknown::Unknown;

/// The value of the header Authorization, from the file `path`. Read anew for each question: the kubelet replaces a
/// projected token when four fifths of its time are over. The kubelet keeps it in memory, so that reading it holds up nobody.
///
/// # Errors
/// There is no token in it.
pub fn bearer(path: &Path) -> Result<HeaderValue, Unknown> {
    let wrong = |problem: String| Unknown::Token { path: path.into(), problem };
    let text = read(path).map_err(wrong)?;
    let token = text.trim();
    if token.is_empty() {
        return Err(wrong("it is empty".to_owned()));
    }
    let mut value = HeaderValue::from_str(&format!("Bearer {token}"))
        .map_err(|_| wrong("it has what no token has, such as a line break".to_owned()))?;
    // Kept out of whatever prints headers.
    value.set_sensitive(true);
    Ok(value)
}

/// The text of the file.
///
/// # Errors
/// It cannot be read.
pub fn read(path: &Path) -> Result<String, String> {
    let say = |error: std::io::Error| error.to_string();
    // A pipe would keep who opens it waiting.
    if !std::fs::metadata(path).map_err(say)?.is_file() {
        return Err("it is no file".to_owned());
    }
    let mut text = String::new();
    File::open(path).map_err(say)?.take(limits::TOKEN_MAX_BYTES).read_to_string(&mut text).map_err(say)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_token_is_read_without_the_line_break_behind_it() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "abc.def\n").unwrap();
        assert_eq!(bearer(file.path()).unwrap(), "Bearer abc.def");
    }

    #[test]
    fn what_is_no_token_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for (content, message) in [("", "it is empty"), ("a\nb", "a line break")] {
            fs::write(file.path(), content).unwrap();
            assert!(bearer(file.path()).unwrap_err().to_string().contains(message));
        }
        for (path, message) in [("/no/such/token", "No such file"), ("/tmp", "it is no file")] {
            let error = bearer(Path::new(path)).unwrap_err().to_string();
            assert!(error.contains(message) && error.contains("mount a projected"), "{error}");
        }
    }
}
