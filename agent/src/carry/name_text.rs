//! Names of files as text: what is no UTF-8 in them, and the percent sign, as in an address (RFC 3986). Two names are never one text.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};

/// A name as text.
pub fn escape(name: &OsStr) -> String {
    let mut text = String::new();
    for chunk in name.as_bytes().utf8_chunks() {
        text += &chunk.valid().replace('%', "%25");
        chunk.invalid().iter().for_each(|byte| text += &format!("%{byte:02x}"));
    }
    text
}

/// The name that was made such a text. Of any other, what is no escape stays as it is.
pub fn unescape(text: &str) -> OsString {
    let (mut bytes, mut rest) = (Vec::new(), text.as_bytes());
    while let [first, after @ ..] = rest {
        let digits = after.get(..2).filter(|_| *first == b'%');
        let escaped = digits.and_then(|two| u8::from_str_radix(std::str::from_utf8(two).ok()?, 16).ok());
        bytes.push(escaped.unwrap_or(*first));
        rest = if escaped.is_some() { &after[2..] } else { after };
    }
    OsString::from_vec(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_name_is_a_text_and_is_found_again_in_it() {
        for (name, text) in [
            (&b"out-\xff\xfe.log"[..], "out-%ff%fe.log"),
            ("Ünïcode".as_bytes(), "Ünïcode"),
            (b"100%ff", "100%25ff"),
        ] {
            let name = OsStr::from_bytes(name);
            assert_eq!(escape(name), text);
            assert_eq!(unescape(text), name);
        }
        assert_eq!(unescape("50% of it"), "50% of it");
    }
}
