//! What the chart's tests and `make values-schema` share.

pub mod template;
pub mod values_schema;
