//! Certificates of the webhook's own: kept in a Secret that all replicas share, renewed before they end, and made known to the API
//! server before they are used.

mod asked;
mod configuration;
mod keeper;
mod material;
mod place;

pub use self::keeper::Keeper;
pub use self::place::Place;
