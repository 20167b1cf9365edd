//! What every test leans on, whatever it is about: the programs under test are built, conditions waited for, cases put in a
//! table, requests sent, connections cut, proxies put between.

pub mod bucket;
pub mod build;
pub(crate) mod cache;
pub(crate) mod claim;
pub mod command;
pub mod compile;
pub mod connect_proxy;
pub mod http;
pub mod imports;
pub(crate) mod interrupt;
pub mod kubectl_plugin;
pub mod measure;
pub mod registry;
pub mod shared;
pub mod table;
pub mod tools;
pub mod wait;
pub mod wire;
