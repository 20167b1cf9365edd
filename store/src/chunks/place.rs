//! Packs as files of an image directory: new ones below the hold of who writes them, those of committed checkpoints in a directory that
//! all of them share.

use std::io;
use std::sync::Arc;

use crate::backend::large::{Sink, Source};
use crate::backend::{Backend, Name};
use crate::chunks::pack::{PackName, PackPlace};

/// Where the packs are.
#[derive(Debug, Clone)]
pub struct PackFiles {
    /// In what.
    pub backend: Arc<dyn Backend>,
    /// New ones, which nobody refers to yet.
    pub fresh: Option<Name>,
    /// Those to which a generation may refer.
    pub shared: Name,
}

impl PackPlace for PackFiles {
    fn create(&self, name: PackName) -> io::Result<Box<dyn Sink>> {
        let fresh = self.fresh.as_ref().ok_or_else(|| io::Error::from(io::ErrorKind::Unsupported))?;
        self.backend.begin(&fresh.join(&name.to_string()))
    }

    fn open(&self, name: PackName) -> io::Result<Box<dyn Source>> {
        let open = |directory: &Name| self.backend.open(&directory.join(&name.to_string()));
        match (open(&self.shared), &self.fresh) {
            (Err(error), Some(fresh)) if error.kind() == io::ErrorKind::NotFound => {
                open(fresh).map_err(|_| error)
            }
            (found, _) => found,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::backend::directory::Directory;
    use crate::base::limits::PACK_SYNC_BYTES;

    #[test]
    fn a_pack_is_read_where_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let [fresh, shared] = ["fresh", "shared"].map(|name| dir.path().join(name));
        [&fresh, &shared].into_iter().for_each(|path| fs::create_dir(path).unwrap());
        let backend = Arc::new(Directory::new(dir.path()));
        let place = PackFiles { backend, fresh: Some("fresh".into()), shared: "shared".into() };
        let name = PackName::random().unwrap();
        let mut sink = place.create(name).unwrap();
        sink.write(b"one").unwrap();
        sink.write(&vec![7; PACK_SYNC_BYTES as usize]).unwrap();
        sink.write(b"two").unwrap();
        sink.finish().unwrap();
        assert!(place.create(name).is_err());
        let read = |offset| {
            let mut bytes = [0; 3];
            place.open(name).and_then(|pack| pack.read_exact_at(&mut bytes, offset)).map(|()| bytes)
        };
        assert_eq!(read(0).unwrap(), *b"one");
        assert_eq!(read(3 + PACK_SYNC_BYTES).unwrap(), *b"two");
        assert_eq!(read(4 + PACK_SYNC_BYTES).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        fs::rename(fresh.join(name.to_string()), shared.join(name.to_string())).unwrap();
        assert_eq!(read(0).unwrap(), *b"one");
    }
}
