//! CRIU, by way of rust-criu: the one folder that names either. It imports what the room `tree` may, and `process`.

mod action_script;
pub mod advice;
mod become_criu;
mod call;
mod cancel;
mod child;
mod dump;
mod dump_log;
mod error;
mod failable_dump;
pub mod feature_cache;
pub mod features;
mod image_streamer;
pub mod images;
mod in_namespace;
mod page_fifos;
mod pages;
mod pause;
mod preload;
mod restore;
mod streamed_restore;
mod umask;
mod version;

pub use become_criu::become_criu;
pub use call::{Connections, bound_log, inheritable_file, is_called, last_log, prepare_environment};
pub use cancel::give_up;
pub use child::{child_pid, has_ended};
pub use dump::{Dump, Leave, dump};
pub use dump_log::DumpLog;
pub use error::CriuError;
pub use in_namespace::{IPC_IMAGE, IpcNamespace, Namespaces, Offsets, SHARED_MEMORY_IMAGE, TimeNamespace};
pub use pages::{PagesSink, PagesSource};
pub use pause::{Hook, Pause};
pub use preload::cut_off;
pub use restore::{Restore, restore};
pub use version::version;
