//! Whether a value of the agent's configuration has the form that its key wants. More than that is the agent's own to say.

use bytesize::ByteSize;
use crik_api::configuration::Form;
use serde_json::Value;

use crate::base::limits;

/// What is wrong with a value, if something is.
pub fn problem(form: Form, value: &Value) -> Option<String> {
    let text = value.as_str();
    let is_right = match form {
        Form::Text => text.is_some(),
        Form::Duration => text.is_some_and(|text| humantime::parse_duration(text).is_ok()),
        Form::Size => value.is_u64() || text.is_some_and(|text| text.parse::<ByteSize>().is_ok()),
        Form::Word(words) => text.is_some_and(|text| words.contains(&text)),
        Form::Number => value.is_u64(),
        Form::Flag => value.is_boolean(),
        Form::List => value.is_array(),
        Form::Map => value.is_object(),
    };
    (!is_right).then(|| format!("{} is {}", short(value), wanted(form)))
}

fn wanted(form: Form) -> String {
    match form {
        Form::Text => "no text".to_owned(),
        Form::Duration => "no duration such as 30s or 1m30s".to_owned(),
        Form::Size => "no size such as 4GiB or 500MB".to_owned(),
        Form::Word(words) => format!("none of {}", words.join(", ")),
        Form::Number => "no whole number".to_owned(),
        Form::Flag => "neither true nor false".to_owned(),
        Form::List => "no list".to_owned(),
        Form::Map => "no map".to_owned(),
    }
}

/// Of a value that anybody may have written.
fn short(value: &Value) -> String {
    let text = value.as_str().map_or_else(|| value.to_string(), |text| format!("{text:?}"));
    match text.char_indices().nth(limits::VALUE_SHOWN_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
