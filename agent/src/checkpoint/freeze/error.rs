//! Why a tree could not be frozen.

use std::io;

use crik_store::image_dir::ImageDirError;
use thiserror::Error;

use crate::base::private_directory::NoPlace;
use crate::base::retry::{HasOutlook, Outlook};
use crate::carry::files::CarryError;
use crate::carry::open_files::UnreachableError;
use crate::carry::watched::WatchedError;
use crate::tree::criu::CriuError;
use crate::tree::criu::images::ImageError;
use crate::tree::process::lacking_rights::Lacking;
use crate::tree::process::unfreezable::Unfreezable;

/// Why the tree could not be frozen. It runs on.
#[derive(Debug, Error)]
pub enum FreezeError {
    /// Processes belong to the application but not to the tree.
    #[error("processes {0:?} of the application are outside its tree and would be lost")]
    Strays(Vec<i32>),
    /// A subreaper inside the tree has adopted processes.
    #[error(
        "processes {0:?} were adopted inside the tree, and CRIU cannot give them their session back; start the program \
         without an init of its own (tini, dumb-init), since crik has one"
    )]
    LostSessions(Vec<i32>),
    /// CRIU may not do it, or what it dumps could not be restored with the rights that there are.
    #[error(transparent)]
    Lacking(#[from] Lacking),
    /// A process is traced, or has what CRIU does not know.
    #[error(transparent)]
    Unfreezable(#[from] Unfreezable),
    /// CRIU dumps no half of a connection.
    #[error(
        "{0}, which cannot be frozen: set unixConnections: close, where the resumed program reads the end of it, or let hooks.preCheckpoint \
         close it"
    )]
    Connected(String),
    /// The tree has processes that a restore would lose here.
    #[error("the tree has orphaned processes, which a restore cannot keep on this architecture")]
    Orphans,
    /// The staging directory cannot be used, or a path not be removed.
    #[error(transparent)]
    Volume(#[from] ImageDirError),
    /// The next container would not have what the program has open.
    #[error(transparent)]
    Unreachable(#[from] UnreachableError),
    /// A watch could not be made again.
    #[error(transparent)]
    Watched(#[from] WatchedError),
    /// Not all of the container's files go along.
    #[error(transparent)]
    Carry(#[from] CarryError),
    /// The images of connections cannot be read or written.
    #[error(transparent)]
    Connections(#[from] ImageError),
    /// It began to have some of System V when CRIU was told already that it had none.
    #[error(
        "the program has made shared memory, semaphores or message queues of System V just as it was frozen"
    )]
    NewSystemV,
    /// CRIU could not dump it.
    #[error(transparent)]
    Criu(#[from] CriuError),
    /// Nobody could set them again.
    #[error("the clocks cannot be read: {0}")]
    Clocks(io::Error),
    /// It says that it did, without having paused for us.
    #[error("criu did not call back before the end of the dump; is it newer than this crik knows?")]
    NoPause,
    /// There is no place for what CRIU writes besides memory.
    #[error(transparent)]
    NoPlace(#[from] NoPlace),
    /// The application was told to stop meanwhile.
    #[error("the dump came too late to be begun")]
    TooLate,
}

impl HasOutlook for FreezeError {
    fn outlook(&self) -> Outlook {
        match self {
            Self::Volume(error) => error.outlook(),
            Self::Carry(error) => error.outlook(),
            Self::Criu(error) => error.outlook(),
            Self::Unreachable(error) => error.outlook(),
            Self::Connections(ImageError::Io { source, .. }) => source.outlook(),
            Self::NewSystemV => Outlook::MayPass,
            _ => Outlook::Lasting,
        }
    }
}
