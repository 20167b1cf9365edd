//! The file system: every operation is done in the backing directory, if it is not to fail.

use std::collections::{HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Metadata, OpenOptions, Permissions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use fuser::{
    BsdFileFlags, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo, InitFlags,
    KernelConfig, LockOwner, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory,
    ReplyEmpty, ReplyEntry, ReplyOpen, ReplyStatfs, ReplyWrite, Request, TimeOrNow, WriteFlags,
};
use nix::fcntl::{AtFlags, readlinkat};
use nix::sys::stat::{UtimensatFlags, utimensat};
use nix::sys::statvfs::statvfs;
use nix::sys::time::TimeSpec;

use super::faults::{Faults, Manners, Op};

/// Nobody else changes the backing directory, so the kernel may remember what it has learned.
const FOR_LONG: Duration = Duration::from_secs(3600);

/// Whose everything is where there is one owner.
const SOMEBODY: u32 = 50_000;

/// Mirrors a directory.
pub struct Mirror {
    faults: Arc<Faults>,
    /// What the kernel knows.
    inodes: Mutex<HashMap<u64, Known>>,
    files: Mutex<HashMap<u64, Arc<File>>>,
    /// Files that were made for who wanted a new one, by directory and name, where they are not found before they are made once more.
    unseen: Mutex<HashSet<(u64, OsString)>>,
    next: AtomicU64,
}

/// Something that the kernel knows.
struct Known {
    /// Held open by O_PATH, so that a rename moves nothing away from us.
    file: File,
    /// How often the kernel was told of it.
    lookups: u64,
}

fn lock<T>(what: &Mutex<T>) -> MutexGuard<'_, T> {
    what.lock().unwrap_or_else(PoisonError::into_inner)
}

fn through(file: &File) -> PathBuf {
    format!("/proc/self/fd/{}", file.as_raw_fd()).into()
}

fn open_path(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).custom_flags(libc::O_PATH | libc::O_NOFOLLOW).open(path)
}

impl Mirror {
    pub fn new(backing: &Path, faults: Arc<Faults>) -> io::Result<Self> {
        let root = open_path(backing)?;
        let inodes = Mutex::new(HashMap::from([(INodeNo::ROOT.0, Known { file: root, lookups: 1 })]));
        Ok(Self {
            faults,
            inodes,
            files: Mutex::default(),
            unseen: Mutex::default(),
            next: AtomicU64::new(1),
        })
    }

    fn path(&self, ino: INodeNo) -> io::Result<PathBuf> {
        let inodes = lock(&self.inodes);
        let known = inodes.get(&ino.0).ok_or_else(|| io::Error::from_raw_os_error(libc::ESTALE))?;
        Ok(through(&known.file))
    }

    fn child(&self, parent: INodeNo, name: &OsStr) -> io::Result<PathBuf> {
        let parent = self.path(parent)?;
        let named = parent.join(name);
        if self.faults.manners() != Some(Manners::Smb) || named.symlink_metadata().is_ok() {
            return Ok(named);
        }
        let same = |other: &OsStr| other.eq_ignore_ascii_case(name);
        let other = fs::read_dir(&parent)?.flatten().find(|entry| same(&entry.file_name()));
        Ok(other.map_or(named, |other| parent.join(other.file_name())))
    }

    /// For how long the kernel may remember a name or attributes: it does not know that a name has several spellings.
    fn ttl(&self) -> Duration {
        if self.faults.manners() == Some(Manners::Smb) { Duration::ZERO } else { FOR_LONG }
    }

    /// Fails where there is no such thing.
    fn refuse(&self, manners: Manners) -> io::Result<()> {
        let refused = self.faults.manners() == Some(manners);
        if refused { Err(io::Error::from_raw_os_error(libc::EOPNOTSUPP)) } else { Ok(()) }
    }

    /// Fails for a name that nobody finds yet.
    fn find(&self, parent: INodeNo, name: &OsStr) -> io::Result<()> {
        let is_unseen = lock(&self.unseen).contains(&(parent.0, name.to_owned()));
        if is_unseen { Err(io::Error::from_raw_os_error(libc::ENOENT)) } else { Ok(()) }
    }

    /// Whether who wants a new file is to get none that is there.
    fn is_exclusive(&self, parent: INodeNo, name: &OsStr, flags: i32) -> bool {
        let exclusive = flags & libc::O_EXCL != 0;
        // The kernel looks for a name before it has it made, so that one that is found is never made again.
        let is_seen = !exclusive || self.faults.manners() != Some(Manners::Careless) || {
            let mut unseen = lock(&self.unseen);
            let name = (parent.0, name.to_owned());
            !unseen.remove(&name) && unseen.insert(name)
        };
        exclusive && is_seen
    }

    /// Refuses what would be more than all files may have.
    fn within_quota(&self, more: usize) -> io::Result<()> {
        let Some(quota) = self.faults.quota() else { return Ok(()) };
        let there = stored(&self.path(INodeNo::ROOT)?)?;
        if there + more as u64 <= quota { Ok(()) } else { Err(io::Error::from_raw_os_error(libc::EDQUOT)) }
    }

    fn file(&self, handle: FileHandle) -> io::Result<Arc<File>> {
        lock(&self.files).get(&handle.0).cloned().ok_or_else(|| io::Error::from_raw_os_error(libc::EBADF))
    }

    fn keep(&self, file: File) -> FileHandle {
        let handle = self.next.fetch_add(1, Ordering::Relaxed);
        lock(&self.files).insert(handle, Arc::new(file));
        FileHandle(handle)
    }

    /// What is at `path`, which the kernel will know from now on.
    fn known(&self, path: &Path) -> io::Result<FileAttr> {
        let file = open_path(path)?;
        let meta = file.metadata()?;
        lock(&self.inodes).entry(meta.ino()).or_insert(Known { file, lookups: 0 }).lookups += 1;
        Ok(attributes(&meta, INodeNo(meta.ino()), self.faults.manners()))
    }

    fn attributes(&self, ino: INodeNo) -> io::Result<FileAttr> {
        let inodes = lock(&self.inodes);
        let known = inodes.get(&ino.0).ok_or_else(|| io::Error::from_raw_os_error(libc::ESTALE))?;
        Ok(attributes(&known.file.metadata()?, ino, self.faults.manners()))
    }

    fn set_attributes(&self, ino: INodeNo, wanted: &Wanted) -> io::Result<FileAttr> {
        let (path, manners) = (self.path(ino)?, self.faults.manners());
        if let Some(mode) = wanted.mode.filter(|_| manners != Some(Manners::Smb)) {
            fs::set_permissions(&path, Permissions::from_mode(mode & 0o7777))?;
        }
        let gives_away = wanted.uid.is_some() || wanted.gid.is_some();
        if gives_away && manners == Some(Manners::OneOwner) {
            return Err(io::Error::from_raw_os_error(libc::EPERM));
        }
        if gives_away && !matches!(manners, Some(Manners::OneOwner | Manners::Smb | Manners::Bucket)) {
            std::os::unix::fs::chown(&path, wanted.uid, wanted.gid)?;
        }
        if let Some(size) = wanted.size {
            OpenOptions::new().write(true).open(&path)?.set_len(size)?;
        }
        if wanted.atime.is_some() || wanted.mtime.is_some() {
            let [atime, mtime] = [wanted.atime, wanted.mtime].map(timespec);
            utimensat(nix::fcntl::AT_FDCWD, &path, &atime, &mtime, UtimensatFlags::FollowSymlink)?;
        }
        self.attributes(ino)
    }

    /// Does an operation unless it is to fail, and answers.
    fn serve<T, R>(
        &self,
        (op, ino): (Op, INodeNo),
        reply: R,
        work: impl FnOnce() -> io::Result<T>,
        ok: impl FnOnce(R, T),
        error: impl FnOnce(R, fuser::Errno),
    ) {
        let in_flight = self.faults.in_flight();
        let done = self.faults.before(op, ino.0).and_then(|()| work());
        let done = done.and_then(|done| self.faults.answered(op, ino.0).map(|()| done));
        drop(in_flight);
        match done {
            Ok(done) => ok(reply, done),
            Err(failed) => error(reply, failed.into()),
        }
        self.faults.after();
    }

    fn entry(&self, op: (Op, INodeNo), reply: ReplyEntry, work: impl FnOnce() -> io::Result<FileAttr>) {
        let ttl = self.ttl();
        self.serve(op, reply, work, |reply, attr| reply.entry(&ttl, &attr, Generation(0)), ReplyEntry::error);
    }

    fn attr(&self, op: (Op, INodeNo), reply: ReplyAttr, work: impl FnOnce() -> io::Result<FileAttr>) {
        let ttl = self.ttl();
        self.serve(op, reply, work, |reply, attr| reply.attr(&ttl, &attr), ReplyAttr::error);
    }

    fn empty(&self, op: (Op, INodeNo), reply: ReplyEmpty, work: impl FnOnce() -> io::Result<()>) {
        self.serve(op, reply, work, |reply, ()| reply.ok(), ReplyEmpty::error);
    }

    fn list(&self, ino: INodeNo) -> io::Result<Vec<(u64, FileType, OsString)>> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(self.path(ino)?)? {
            let entry = entry?;
            let meta = entry.path().symlink_metadata()?;
            entries.push((meta.ino(), kind(&meta), entry.file_name()));
        }
        entries.sort_by(|a, b| a.2.cmp(&b.2));
        Ok(entries)
    }
}

/// What a `setattr` asks for.
struct Wanted {
    mode: Option<u32>,
    uid: Option<u32>,
    gid: Option<u32>,
    size: Option<u64>,
    atime: Option<TimeOrNow>,
    mtime: Option<TimeOrNow>,
}

fn timespec(time: Option<TimeOrNow>) -> TimeSpec {
    match time {
        None => TimeSpec::UTIME_OMIT,
        Some(TimeOrNow::Now) => TimeSpec::UTIME_NOW,
        Some(TimeOrNow::SpecificTime(time)) => {
            TimeSpec::from(time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default())
        }
    }
}

fn kind(meta: &Metadata) -> FileType {
    let kind = meta.file_type();
    if kind.is_dir() {
        FileType::Directory
    } else if kind.is_symlink() {
        FileType::Symlink
    } else if kind.is_fifo() {
        FileType::NamedPipe
    } else if kind.is_socket() {
        FileType::Socket
    } else {
        FileType::RegularFile
    }
}

/// Bytes in all files below a directory. What goes meanwhile has none.
fn stored(directory: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(directory)?.flatten() {
        let Ok(meta) = entry.metadata() else { continue };
        bytes += if meta.is_dir() { stored(&entry.path()).unwrap_or_default() } else { meta.len() };
    }
    Ok(bytes)
}

fn attributes(meta: &Metadata, ino: INodeNo, manners: Option<Manners>) -> FileAttr {
    let owner = |real| if manners == Some(Manners::OneOwner) { SOMEBODY } else { real };
    let mode = if manners == Some(Manners::Smb) { 0o777 } else { meta.mode() & 0o7777 };
    let time = |seconds: i64, nanos: i64| {
        SystemTime::UNIX_EPOCH + Duration::new(seconds.unsigned_abs(), u32::try_from(nanos).unwrap_or(0))
    };
    FileAttr {
        ino,
        size: meta.size(),
        blocks: meta.blocks(),
        atime: time(meta.atime(), meta.atime_nsec()),
        mtime: time(meta.mtime(), meta.mtime_nsec()),
        ctime: time(meta.ctime(), meta.ctime_nsec()),
        crtime: SystemTime::UNIX_EPOCH,
        kind: kind(meta),
        perm: mode as u16,
        nlink: u32::try_from(meta.nlink()).unwrap_or(u32::MAX),
        uid: owner(meta.uid()),
        gid: owner(meta.gid()),
        rdev: 0,
        blksize: 4096,
        flags: 0,
    }
}

impl Filesystem for Mirror {
    fn init(&mut self, _: &Request, config: &mut KernelConfig) -> io::Result<()> {
        // As NFS does; otherwise the kernel asks for one name of a directory after the other.
        config
            .add_capabilities(InitFlags::FUSE_PARALLEL_DIROPS)
            .map_err(|_| io::Error::other("the kernel is too old"))
    }

    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        self.entry((Op::Lookup, parent), reply, || {
            self.find(parent, name)?;
            self.known(&self.child(parent, name)?)
        });
    }

    fn forget(&self, _: &Request, ino: INodeNo, lookups: u64) {
        let mut inodes = lock(&self.inodes);
        let Some(known) = inodes.get_mut(&ino.0) else { return };
        known.lookups = known.lookups.saturating_sub(lookups);
        if known.lookups == 0 && ino != INodeNo::ROOT {
            inodes.remove(&ino.0);
        }
    }

    fn getattr(&self, _: &Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        self.attr((Op::GetAttr, ino), reply, || self.attributes(ino));
    }

    fn setattr(
        &self,
        _: &Request,
        ino: INodeNo,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
        size: Option<u64>,
        atime: Option<TimeOrNow>,
        mtime: Option<TimeOrNow>,
        _: Option<SystemTime>,
        _: Option<FileHandle>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let wanted = Wanted { mode, uid, gid, size, atime, mtime };
        self.attr((Op::SetAttr, ino), reply, || self.set_attributes(ino, &wanted));
    }

    fn readlink(&self, _: &Request, ino: INodeNo, reply: ReplyData) {
        let work = || {
            let inodes = lock(&self.inodes);
            let known = inodes.get(&ino.0).ok_or_else(|| io::Error::from_raw_os_error(libc::ESTALE))?;
            Ok(readlinkat(&known.file, "")?.into_vec())
        };
        self.serve((Op::ReadLink, ino), reply, work, |reply, link| reply.data(&link), ReplyData::error);
    }

    fn mkdir(&self, _: &Request, parent: INodeNo, name: &OsStr, mode: u32, umask: u32, reply: ReplyEntry) {
        self.entry((Op::MkDir, parent), reply, || {
            let path = self.child(parent, name)?;
            fs::create_dir(&path)?;
            fs::set_permissions(&path, Permissions::from_mode(mode & 0o7777 & !umask))?;
            self.known(&path)
        });
    }

    fn unlink(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        self.empty((Op::Unlink, parent), reply, || fs::remove_file(self.child(parent, name)?));
    }

    fn rmdir(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        self.empty((Op::RmDir, parent), reply, || fs::remove_dir(self.child(parent, name)?));
    }

    fn symlink(&self, _: &Request, parent: INodeNo, name: &OsStr, target: &Path, reply: ReplyEntry) {
        self.entry((Op::SymLink, parent), reply, || {
            self.refuse(Manners::Smb)?;
            let path = self.child(parent, name)?;
            symlink(target, &path)?;
            self.known(&path)
        });
    }

    fn rename(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        newparent: INodeNo,
        newname: &OsStr,
        _: RenameFlags,
        reply: ReplyEmpty,
    ) {
        self.empty((Op::Rename, newparent), reply, || {
            let (from, to) = (self.child(parent, name)?, self.child(newparent, newname)?);
            if from.symlink_metadata()?.is_dir() {
                self.refuse(Manners::Bucket)?;
            }
            fs::rename(from, to)
        });
    }

    fn link(&self, _: &Request, ino: INodeNo, newparent: INodeNo, newname: &OsStr, reply: ReplyEntry) {
        self.entry((Op::Link, newparent), reply, || {
            self.refuse(Manners::Smb)?;
            let path = self.child(newparent, newname)?;
            nix::unistd::linkat(
                nix::fcntl::AT_FDCWD,
                &self.path(ino)?,
                nix::fcntl::AT_FDCWD,
                &path,
                AtFlags::AT_SYMLINK_FOLLOW,
            )?;
            self.known(&path)
        });
    }

    fn open(&self, _: &Request, ino: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        let work = || {
            let writes = flags.0 & libc::O_ACCMODE != libc::O_RDONLY;
            let file = OpenOptions::new()
                .read(true)
                .write(writes)
                .truncate(writes && flags.0 & libc::O_TRUNC != 0)
                .open(self.path(ino)?)?;
            Ok(self.keep(file))
        };
        self.serve(
            (Op::Open, ino),
            reply,
            work,
            |reply, handle| reply.opened(handle, FopenFlags::empty()),
            ReplyOpen::error,
        );
    }

    fn create(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        flags: i32,
        reply: ReplyCreate,
    ) {
        let work = || {
            let path = self.child(parent, name)?;
            let mut options = OpenOptions::new();
            options.read(true).write(true).truncate(flags & libc::O_TRUNC != 0).mode(mode & !umask);
            let file = if self.is_exclusive(parent, name, flags) {
                options.create_new(true).open(&path)
            } else {
                options.create(true).open(&path)
            }?;
            Ok((self.known(&path)?, self.keep(file)))
        };
        let ttl = self.ttl();
        let ok = |reply: ReplyCreate, (attr, handle)| {
            reply.created(&ttl, &attr, Generation(0), handle, FopenFlags::empty());
        };
        self.serve((Op::Create, parent), reply, work, ok, ReplyCreate::error);
    }

    fn read(
        &self,
        _: &Request,
        ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let work = || {
            let (file, mut buffer) = (self.file(fh)?, vec![0; size as usize]);
            let mut filled = 0;
            while filled < buffer.len() {
                match file.read_at(&mut buffer[filled..], offset + filled as u64)? {
                    0 => break,
                    read => filled += read,
                }
            }
            buffer.truncate(filled);
            self.faults.read(filled);
            Ok(buffer)
        };
        self.serve((Op::Read, ino), reply, work, |reply, data| reply.data(&data), ReplyData::error);
    }

    fn write(
        &self,
        _: &Request,
        ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let work = || {
            self.within_quota(data.len())?;
            if self.faults.manners() == Some(Manners::Forgetful) && self.file(fh)?.metadata()?.nlink() == 0 {
                return Err(io::Error::from_raw_os_error(libc::ESTALE));
            }
            let written = self.faults.written(data.len());
            self.file(fh)?.write_all_at(&data[..written], offset)?;
            Ok(u32::try_from(written).unwrap_or(u32::MAX))
        };
        self.serve((Op::Write, ino), reply, work, ReplyWrite::written, ReplyWrite::error);
    }

    fn flush(&self, _: &Request, ino: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        self.empty((Op::Flush, ino), reply, || Ok(()));
    }

    fn release(
        &self,
        _: &Request,
        _: INodeNo,
        fh: FileHandle,
        _: OpenFlags,
        _: Option<LockOwner>,
        _: bool,
        reply: ReplyEmpty,
    ) {
        lock(&self.files).remove(&fh.0);
        reply.ok();
    }

    fn fsync(&self, _: &Request, ino: INodeNo, fh: FileHandle, _: bool, reply: ReplyEmpty) {
        // What is durable on the backing directory is not the question here, and a real fsync is slow.
        self.empty((Op::FSync, ino), reply, || match self.faults.manners() {
            Some(Manners::Volatile) => Err(io::Error::from_raw_os_error(libc::EIO)),
            _ => self.file(fh).map(drop),
        });
    }

    fn opendir(&self, _: &Request, ino: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        let work = || self.path(ino).map(drop);
        let ok = |reply: ReplyOpen, ()| reply.opened(FileHandle(0), FopenFlags::empty());
        self.serve((Op::OpenDir, ino), reply, work, ok, ReplyOpen::error);
    }

    fn readdir(&self, _: &Request, ino: INodeNo, _: FileHandle, offset: u64, reply: ReplyDirectory) {
        let ok = |mut reply: ReplyDirectory, entries: Vec<(u64, FileType, OsString)>| {
            for (number, (ino, kind, name)) in (1..).zip(entries).skip(offset as usize) {
                if reply.add(INodeNo(ino), number, kind, name) {
                    break;
                }
            }
            reply.ok();
        };
        self.serve((Op::ReadDir, ino), reply, || self.list(ino), ok, ReplyDirectory::error);
    }

    fn fsyncdir(&self, _: &Request, ino: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        self.empty((Op::FSyncDir, ino), reply, || match self.faults.manners() {
            Some(Manners::Smb) => Err(io::Error::from_raw_os_error(libc::EINVAL)),
            _ => Ok(()),
        });
    }

    fn statfs(&self, _: &Request, ino: INodeNo, reply: ReplyStatfs) {
        let ok = |reply: ReplyStatfs, of: nix::sys::statvfs::Statvfs| {
            let size = u32::try_from(of.fragment_size()).unwrap_or(4096);
            reply.statfs(
                of.blocks(),
                of.blocks_free(),
                of.blocks_available(),
                of.files(),
                of.files_free(),
                size,
                255,
                size,
            );
        };
        self.serve((Op::StatFs, ino), reply, || Ok(statvfs(&self.path(ino)?)?), ok, ReplyStatfs::error);
    }
}
