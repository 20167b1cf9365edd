//! What every test leans on, whatever it is about: the programs under test are built, conditions waited for, cases put in a
//! table, requests sent, connections cut.

pub mod build;
pub(crate) mod cache;
pub mod command;
pub mod compile;
pub mod http;
pub mod imports;
pub mod shared;
pub mod table;
pub mod tools;
pub mod wait;
pub mod wire;
