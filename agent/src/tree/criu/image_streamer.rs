//! Gives CRIU its images through pipes while it restores (`criu restore --stream`), as criu-image-streamer does: its small ones from a
//! directory, and the pages of memory from a source.
//!
//! CRIU connects to a socket in what it takes for the directory of its images. For each image that it opens it sends a name, is told
//! whether there is one, and sends the end of a pipe to write it to (criu/img-streamer.c). It has many open at once, and the processes
//! that it makes ask by the same connection; so nothing here waits for a reader before it answers the next.

use std::fs::{DirBuilder, File, remove_dir_all};
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::{mem, process, ptr, thread};

use nix::fcntl::{FcntlArg, fcntl};
use prost::Message;

use super::feature_cache;
use super::pages::PagesSource;
use crate::base::headway::Headway;
use crate::base::limits;
use crate::base::panics::{contained_now, locked};

/// How CRIU calls the socket.
const SOCKET: &str = "streamer-serve.sock";

/// How the directory is called in which it lies, before our process id.
const DIRECTORY: &str = "images-";

#[derive(Message)]
struct Request {
    #[prost(string, required, tag = "1")]
    name: String,
}

#[derive(Message)]
struct Reply {
    #[prost(bool, required, tag = "1")]
    exists: bool,
}

/// Answers one CRIU.
pub(super) struct ImageStreamer {
    shared: Arc<Shared>,
    /// What CRIU takes for the directory of its images, with a short path.
    directory: PathBuf,
}

struct Shared {
    images: PathBuf,
    source: Arc<dyn PagesSource>,
    connection: Mutex<Option<UnixStream>>,
    over: AtomicBool,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// So many images are being given.
    giving: usize,
    failed: Option<Failed>,
    /// The pipes of images that are given.
    unread: Vec<File>,
}

/// Why an image was not given as it is.
enum Failed {
    /// By whoever has it.
    Given(io::Error),
    /// CRIU wanted no more, because it has all or because it has failed.
    Refused,
}

impl ImageStreamer {
    /// Waits for CRIU.
    ///
    /// # Errors
    /// There is no tmpfs for the socket, or no memory.
    pub fn begin(images: &Path, source: Arc<dyn PagesSource>) -> io::Result<Self> {
        let place = feature_cache::directory().ok_or_else(|| io::Error::other("no tmpfs can be written"))?;
        let directory = place.join(format!("{DIRECTORY}{}", process::id()));
        let _ = remove_dir_all(&directory);
        DirBuilder::new().mode(0o700).create(&directory)?;
        let shared = Arc::new(Shared {
            images: images.to_owned(),
            source,
            connection: Mutex::default(),
            over: AtomicBool::new(false),
            state: Mutex::default(),
            changed: Condvar::new(),
        });
        let streamer = Self { shared: Arc::clone(&shared), directory };
        let listener = UnixListener::bind(streamer.socket())?;
        thread::Builder::new().name("images".to_owned()).spawn(move || shared.serve(&listener))?;
        Ok(streamer)
    }

    /// For CRIU.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    fn socket(&self) -> PathBuf {
        self.directory.join(SOCKET)
    }

    /// Waits until everything is given of which CRIU has asked for, to be called when CRIU has all of it.
    ///
    /// # Errors
    /// Something was not given as it is, or CRIU did not want all of it; or it was given up.
    pub fn all_given(&self, headway: &Headway) -> io::Result<()> {
        let mut state = locked(&self.shared.state);
        while state.giving > 0 {
            if headway.is_given_up() {
                return Err(io::Error::other("it was given up"));
            }
            let waited = self.shared.changed.wait_timeout(state, limits::TURN_POLL);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        let left = Failed::Refused;
        match state.failed.as_ref().or(state.unread.iter().any(is_left).then_some(&left)) {
            None => Ok(()),
            Some(failed) => Err(io::Error::other(failed.to_string())),
        }
    }

    /// Why an image was not given, if that is nobody's fault but whose it was to give.
    pub fn failure(&self) -> Option<io::Error> {
        match locked(&self.shared.state).failed.take()? {
            Failed::Given(error) => Some(error),
            Failed::Refused => None,
        }
    }
}

impl Drop for ImageStreamer {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::Release);
        // If CRIU has not connected its place is taken.
        let _ = UnixStream::connect(self.socket());
        if let Some(connection) = locked(&self.shared.connection).take() {
            let _ = connection.shutdown(Shutdown::Both);
        }
        let _ = remove_dir_all(&self.directory);
    }
}

impl std::fmt::Display for Failed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Given(error) => error.fmt(f),
            Self::Refused => f.write_str("there are more pages than its images tell of"),
        }
    }
}

/// One that CRIU may have.
enum Image {
    File(File),
    Pages(String),
}

impl Shared {
    fn serve(self: &Arc<Self>, listener: &UnixListener) {
        let served = contained_now(|| {
            let (connection, _) = listener.accept()?;
            *locked(&self.connection) = Some(connection.try_clone()?);
            self.answer_all(connection)
        });
        let served = served.unwrap_or_else(|defect| Err(io::Error::other(defect)));
        if let Err(error) = served
            && !self.over.load(Ordering::Acquire)
        {
            self.fail(Failed::Given(error));
        }
    }

    /// Until CRIU and all that it makes have closed their end.
    fn answer_all(self: &Arc<Self>, mut connection: UnixStream) -> io::Result<()> {
        while !self.over.load(Ordering::Acquire)
            && let Some(name) = request(&mut connection)?
        {
            let image = self.image(&name)?;
            let reply = Reply { exists: image.is_some() }.encode_to_vec();
            connection.write_all(&[&(reply.len() as u32).to_le_bytes()[..], &reply].concat())?;
            if let Some(image) = image {
                let pipe = received(&connection)?;
                self.begin(image, pipe)?;
            }
        }
        Ok(())
    }

    fn image(&self, name: &str) -> io::Result<Option<Image>> {
        if name.contains('/') {
            return Err(io::Error::other(format!("criu asks for an image {name}")));
        }
        if name.starts_with("pages-") && self.source.has(name) {
            return Ok(Some(Image::Pages(name.to_owned())));
        }
        match File::open(self.images.join(name)) {
            Ok(file) => Ok(Some(Image::File(file))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Gives what the pipe holds at once, and anything larger by a thread of its own.
    fn begin(self: &Arc<Self>, image: Image, pipe: File) -> io::Result<()> {
        let holds = fcntl(&pipe, FcntlArg::F_GETPIPE_SZ)? as u64;
        match image {
            Image::File(mut file) if file.metadata()?.len() <= holds => {
                let mut all = Vec::new();
                file.read_to_end(&mut all)?;
                // CRIU may have looked whether it is there, and no more.
                let mut pipe = Giver { pipe, refused: false };
                pipe.write_all(&all).or_else(|error| if pipe.refused { Ok(()) } else { Err(error) })
            }
            image => self.give_beside(image, pipe),
        }
    }

    fn give_beside(self: &Arc<Self>, image: Image, pipe: File) -> io::Result<()> {
        let others = {
            let mut state = locked(&self.state);
            state.giving += 1;
            state.giving - 1
        };
        if others < limits::LARGE_PIPES {
            let _ = fcntl(&pipe, FcntlArg::F_SETPIPE_SZ(limits::PAGES_PIPE_BYTES));
        }
        let shared = Arc::clone(self);
        let given = move || {
            let given = contained_now(|| shared.give(image, Giver { pipe, refused: false }));
            if let Err(failed) = given.unwrap_or_else(|defect| Err(Failed::Given(io::Error::other(defect)))) {
                shared.fail(failed);
            }
            locked(&shared.state).giving -= 1;
            shared.changed.notify_all();
        };
        thread::Builder::new().name("image".to_owned()).spawn(given)?;
        Ok(())
    }

    fn give(&self, image: Image, mut to: Giver) -> Result<(), Failed> {
        let given = match image {
            // Whoever wants no more of a file has what it needs.
            Image::File(mut file) => {
                let copied = io::copy(&mut file, &mut to).map(drop);
                return copied.or_else(|error| if to.refused { Ok(()) } else { Err(Failed::Given(error)) });
            }
            Image::Pages(name) => self.source.give(&name, &mut to),
        };
        match given {
            _ if to.refused => Err(Failed::Refused),
            Err(error) => Err(Failed::Given(error)),
            Ok(()) => {
                let rest = to.end().map_err(Failed::Given)?;
                let mut state = locked(&self.state);
                // Nobody writes to them any more.
                state.unread.retain(is_left);
                state.unread.push(rest);
                Ok(())
            }
        }
    }

    /// The first reason is told.
    fn fail(&self, failed: Failed) {
        let mut state = locked(&self.state);
        // What CRIU refuses once something was not given is no reason.
        if !matches!(state.failed, Some(Failed::Given(_))) {
            state.failed = Some(failed);
        }
    }
}

/// Writes to CRIU.
struct Giver {
    pipe: File,
    /// Nobody reads it any more.
    refused: bool,
}

impl Giver {
    /// It is whole; what CRIU has not read of it yet.
    fn end(self) -> io::Result<File> {
        File::options()
            .read(true)
            .custom_flags(libc::O_NONBLOCK)
            .open(format!("/proc/self/fd/{}", self.pipe.as_raw_fd()))
    }
}

/// Whether there is anything in a pipe.
fn is_left(pipe: &File) -> bool {
    let mut left: libc::c_int = 0;
    // SAFETY: it writes one int, to which the pointer is valid.
    let known = unsafe { libc::ioctl(pipe.as_raw_fd(), libc::FIONREAD, &raw mut left) };
    known < 0 || left > 0
}

impl Write for Giver {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.pipe.write(bytes);
        self.refused |= written.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::BrokenPipe);
        written
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The name of an image that CRIU asks for; none when it has closed the connection.
fn request(connection: &mut UnixStream) -> io::Result<Option<String>> {
    let mut length = [0; 4];
    match connection.read_exact(&mut length) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        // It was killed with an answer unread.
        Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(None),
        read => read?,
    }
    let length = u32::from_le_bytes(length) as usize;
    if length > libc::PATH_MAX as usize {
        return Err(io::Error::other("criu asks for an image without a name"));
    }
    let mut message = vec![0; length];
    connection.read_exact(&mut message)?;
    Ok(Some(Request::decode(&*message).map_err(io::Error::other)?.name))
}

/// The end of a pipe that CRIU sends with one byte (unix(7), SCM_RIGHTS).
fn received(connection: &UnixStream) -> io::Result<File> {
    let (mut byte, mut control) = ([0_u8; 1], [0_u64; 8]);
    let mut part = libc::iovec { iov_base: byte.as_mut_ptr().cast(), iov_len: byte.len() };
    // SAFETY: all zeros is a header without anything.
    let mut header: libc::msghdr = unsafe { mem::zeroed() };
    header.msg_iov = &raw mut part;
    header.msg_iovlen = 1;
    header.msg_control = control.as_mut_ptr().cast();
    header.msg_controllen = size_of_val(&control) as _;
    // SAFETY: the header leads to buffers of the lengths that it says.
    let got = unsafe { libc::recvmsg(connection.as_raw_fd(), &raw mut header, libc::MSG_CMSG_CLOEXEC) };
    if got < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has filled the header.
    let first = unsafe { libc::CMSG_FIRSTHDR(&raw const header) };
    // SAFETY: the pointer is null or leads to a whole message.
    if first.is_null() || unsafe { (*first).cmsg_type } != libc::SCM_RIGHTS {
        return Err(io::Error::other("criu sends no pipe"));
    }
    // SAFETY: there is one descriptor in it at least, and it is ours.
    let fd = unsafe { OwnedFd::from_raw_fd(ptr::read_unaligned(libc::CMSG_DATA(first).cast())) };
    Ok(fd.into())
}
