//! Certificates of the webhook's own: kept in a Secret that all replicas share, renewed before they end, and made known to the API
//! server before they are used.

mod keeper;
mod material;

pub use self::keeper::{Keeper, Place};
