//! What the chart's tests, those of its webhook, and `make values-schema` share.

pub mod moved;
pub mod release;
pub mod template;
pub mod values_schema;
