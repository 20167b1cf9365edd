//! Where Node objects come from: the API server, or a file. May import `event`, `signals` and `base`.

pub(crate) mod api_server;
pub(crate) mod file;
pub(crate) mod kubernetes;
mod loss;
mod nodes_file;
mod proof;
mod proven;
mod proxy;
mod watched_node;
