//! Takes the pages of a dump from CRIU while it writes them: in its image directory FIFOs lie in the place of the files, which it opens
//! like files (criu/image.c: for writing, and creates what is not there), one after the other, numbered from 1. They are read by a thread.
//!
//! CRIU's other images are plain files, also those that may be large: System V's shared memory (`ipcns-shm-*.img`), files without a name
//! (`ghost-file-*.img`) and tmpfs mounts of a tree's own (`tmpfs-*.tar.gz.img`).
//!
//! No limit for the size of a file stops a write to a FIFO. So a dump that is given up loses its readers, whatever the sink is at, and
//! CRIU, which ignores SIGPIPE, fails by itself.

use std::fs::{File, OpenOptions, remove_file};
use std::io::{self, PipeReader, PipeWriter, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::sync::{Arc, Mutex, Weak};
use std::thread;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use super::pages::{PagesSink, pages_image};
use crate::base::headway::Headway;
use crate::base::limits;
use crate::base::panics::{contained_now, locked};

/// That of the dump that is under way.
static UNDER_WAY: Mutex<Weak<Fifos>> = Mutex::new(Weak::new());

/// Lets CRIU write no more of the pages: to be called again and again, since it may be about to open the next FIFO, and would wait there.
pub(super) fn refuse_pages() {
    if let Some(fifos) = locked(&UNDER_WAY).upgrade() {
        fifos.refuse();
    }
}

/// The FIFOs of a dump, and the thread that reads them.
pub(super) struct PageFifos {
    fifos: Arc<Fifos>,
    outcome: Receiver<io::Result<()>>,
}

impl PageFifos {
    /// Makes the first ones.
    ///
    /// # Errors
    /// The directory has none, or there is no memory.
    pub fn begin(images: &Path, sink: Arc<dyn PagesSink>) -> io::Result<Self> {
        let fifos = Arc::new(Fifos::new(images)?);
        fifos.make_up_to(limits::FIFOS_AHEAD)?;
        *locked(&UNDER_WAY) = Arc::downgrade(&fifos);
        let (tell, outcome) = sync_channel(1);
        let read = Arc::clone(&fifos);
        thread::Builder::new().name("pages".to_owned()).spawn(move || {
            let taken = contained_now(|| read.take_all(&*sink)).unwrap_or_else(|defect| {
                read.close();
                Err(io::Error::other(defect))
            });
            if taken.is_err() {
                read.turn_away();
            }
            let _ = tell.send(taken);
        })?;
        Ok(Self { fifos, outcome })
    }

    /// CRIU has ended: waits until the sink has taken what it wrote, unless that is given up.
    ///
    /// # Errors
    /// The sink's own; or it was given up, of which a CRIU that failed tells itself.
    pub fn end(self, succeeded: bool, headway: &Headway) -> io::Result<()> {
        self.fifos.ended.happen();
        let taken = loop {
            match self.outcome.recv_timeout(limits::TURN_POLL) {
                Ok(taken) => break taken,
                Err(RecvTimeoutError::Disconnected) => break Err(io::Error::other("its thread ended")),
                Err(RecvTimeoutError::Timeout) if headway.is_given_up() => self.fifos.refuse(),
                Err(RecvTimeoutError::Timeout) => {}
            }
            if self.fifos.refused.has_happened() {
                break Err(given_up());
            }
        };
        if self.fifos.refused.has_happened() && !succeeded { Ok(()) } else { taken }
    }
}

impl Drop for PageFifos {
    fn drop(&mut self) {
        self.fifos.ended.happen();
        *locked(&UNDER_WAY) = Weak::new();
        self.fifos.remaining().for_each(|path| drop(remove_file(path)));
    }
}

fn given_up() -> io::Error {
    io::Error::other("it was given up")
}

struct Fifos {
    images: PathBuf,
    made: AtomicU32,
    /// So many were read and removed.
    taken: AtomicU32,
    /// The one that is read.
    open: Mutex<Option<Arc<File>>>,
    /// Takes its place for a sink that still reads.
    null: File,
    refused: Event,
    ended: Event,
}

impl Fifos {
    fn new(images: &Path) -> io::Result<Self> {
        Ok(Self {
            images: images.to_owned(),
            made: AtomicU32::new(0),
            taken: AtomicU32::new(0),
            open: Mutex::new(None),
            null: File::open("/dev/null")?,
            refused: Event::new()?,
            ended: Event::new()?,
        })
    }

    fn path(&self, number: u32) -> PathBuf {
        self.images.join(pages_image(number))
    }

    fn make_up_to(&self, number: u32) -> io::Result<()> {
        for next in self.made.load(Ordering::Acquire) + 1..=number {
            mkfifo(&self.path(next), Mode::S_IRUSR | Mode::S_IWUSR)?;
            self.made.store(next, Ordering::Release);
        }
        Ok(())
    }

    /// Those that are there.
    fn remaining(&self) -> impl Iterator<Item = PathBuf> {
        let numbers = self.taken.load(Ordering::Acquire) + 1..=self.made.load(Ordering::Acquire);
        numbers.map(|number| self.path(number))
    }

    fn take_all(&self, sink: &dyn PagesSink) -> io::Result<()> {
        for number in 1.. {
            self.make_up_to(number + limits::FIFOS_AHEAD)?;
            let Some(mut pages) = self.begin(number)? else { break };
            let taken = sink.take(&pages_image(number), &mut pages).and_then(|()| pages.is_at_end());
            self.close();
            taken?;
            remove_file(self.path(number))?;
            self.taken.store(number, Ordering::Release);
        }
        Ok(())
    }

    /// Waits until CRIU has opened it. None if it ended without.
    fn begin(&self, number: u32) -> io::Result<Option<Pages<'_>>> {
        let fifo = Arc::new(to_be_read(&self.path(number))?);
        // What it holds less costs CRIU a few more turns.
        let _ = fcntl(&*fifo, FcntlArg::F_SETPIPE_SZ(limits::PAGES_PIPE_BYTES));
        *locked(&self.open) = Some(Arc::clone(&fifo));
        let [opened, refused, ended] = ready([fifo.as_fd(), self.refused.as_fd(), self.ended.as_fd()])?;
        match (refused, opened, ended) {
            (true, ..) => Err(given_up()),
            (_, true, _) => Ok(Some(Pages { fifo, refused: &self.refused })),
            _ => Ok(None),
        }
    }

    /// Ends the reading of the one that is read; a sink that has it open has another file.
    fn close(&self) {
        if let Some(open) = locked(&self.open).take() {
            // SAFETY: both are open, and nobody else knows the number.
            unsafe { libc::dup3(self.null.as_raw_fd(), open.as_raw_fd(), libc::O_CLOEXEC) };
        }
    }

    fn refuse(&self) {
        self.refused.happen();
        self.close();
        self.let_in();
    }

    /// Whoever waits for a reader of a FIFO has had one, and writes to nobody.
    fn let_in(&self) {
        self.remaining().for_each(|path| drop(to_be_read(&path)));
    }

    /// Refuses what CRIU writes until it has ended.
    fn turn_away(&self) {
        while !self.ended.has_happened() {
            self.let_in();
            thread::sleep(limits::CANCEL_PAUSE);
        }
    }
}

/// Does not wait for who writes it.
fn to_be_read(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)
}

/// What CRIU writes of one image.
struct Pages<'a> {
    fifo: Arc<File>,
    refused: &'a Event,
}

impl Pages<'_> {
    /// Else CRIU could not write the rest.
    fn is_at_end(&mut self) -> io::Result<()> {
        match self.read(&mut [0])? {
            0 => Ok(()),
            _ => Err(io::Error::other("not all pages were taken")),
        }
    }
}

impl Read for Pages<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match (&*self.fifo).read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // It may be another file by now.
                Ok(0) if self.refused.has_happened() => return Err(given_up()),
                other => return other,
            }
            ready([self.fifo.as_fd(), self.refused.as_fd()])?;
        }
    }
}

/// Waits for any of them, and says which can be read or have been left by all who write them.
fn ready<const N: usize>(files: [BorrowedFd<'_>; N]) -> io::Result<[bool; N]> {
    let mut polled = files.map(|file| PollFd::new(file, PollFlags::POLLIN));
    while let Err(error) = poll(&mut polled, PollTimeout::NONE) {
        if error != Errno::EINTR {
            return Err(error.into());
        }
    }
    Ok(polled.map(|file| file.any().unwrap_or(true)))
}

/// Something that happens once, for which poll(2) can wait: the end of a pipe.
struct Event(PipeReader, Mutex<Option<PipeWriter>>);

impl Event {
    fn new() -> io::Result<Self> {
        let (reader, writer) = io::pipe()?;
        Ok(Self(reader, Mutex::new(Some(writer))))
    }

    fn happen(&self) {
        drop(locked(&self.1).take());
    }

    fn has_happened(&self) -> bool {
        locked(&self.1).is_none()
    }

    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::mpsc::{Sender, channel};
    use std::time::Duration;

    use super::*;

    /// Other dumps of the same process would be refused too.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

    /// Keeps what it takes.
    #[derive(Default)]
    struct Kept(Mutex<Vec<(String, Vec<u8>)>>);

    impl PagesSink for Kept {
        fn take(&self, name: &str, pages: &mut dyn Read) -> io::Result<()> {
            let mut all = Vec::new();
            pages.read_to_end(&mut all)?;
            locked(&self.0).push((name.to_owned(), all));
            Ok(())
        }
    }

    /// Does not even read, and says when it begins.
    struct Hanging(Sender<()>);

    impl PagesSink for Hanging {
        fn take(&self, _: &str, _: &mut dyn Read) -> io::Result<()> {
            let _ = self.0.send(());
            loop {
                thread::park();
            }
        }
    }

    /// Takes so many bytes, and fails.
    struct Failing(u64);

    impl PagesSink for Failing {
        fn take(&self, _: &str, pages: &mut dyn Read) -> io::Result<()> {
            io::copy(&mut pages.take(self.0), &mut io::sink())?;
            Err(io::Error::other("the volume is full"))
        }
    }

    /// As CRIU writes one.
    fn write(images: &Path, number: u32, bytes: &[u8]) -> io::Result<()> {
        let path = images.join(pages_image(number));
        OpenOptions::new().write(true).create(true).truncate(true).open(path)?.write_all(bytes)
    }

    fn names(images: &Path) -> Vec<PathBuf> {
        images.read_dir().unwrap().map(|entry| entry.unwrap().path()).collect()
    }

    #[test]
    fn many_images_are_taken_in_order_and_nothing_stays_behind() {
        let _turn = locked(&ONE_AT_A_TIME);
        let (images, kept) = (tempfile::tempdir().unwrap(), Arc::new(Kept::default()));
        let fifos = PageFifos::begin(images.path(), Arc::<Kept>::clone(&kept)).unwrap();
        // The third is empty, the fourth larger than any pipe.
        let bytes = |number: u32| vec![number as u8; [10, 70_000, 0, 5 << 20][number as usize % 4]];
        (1..40).for_each(|number| write(images.path(), number, &bytes(number)).unwrap());
        fifos.end(true, &Headway::default()).unwrap();
        let expected: Vec<_> = (1..40).map(|number| (pages_image(number), bytes(number))).collect();
        assert!(*locked(&kept.0) == expected);
        assert_eq!(names(images.path()), [] as [PathBuf; 0]);
    }

    #[test]
    fn who_writes_for_a_sink_that_fails_is_told_and_so_is_who_waits() {
        let _turn = locked(&ONE_AT_A_TIME);
        let images = tempfile::tempdir().unwrap();
        let fifos = PageFifos::begin(images.path(), Arc::new(Failing(3 << 20))).unwrap();
        let error = write(images.path(), 1, &vec![1; 8 << 20]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
        // It goes on nevertheless.
        assert!(write(images.path(), 2, &vec![1; 1 << 20]).is_err());
        let error = fifos.end(false, &Headway::default()).unwrap_err();
        assert_eq!(error.to_string(), "the volume is full");
        assert_eq!(names(images.path()), [] as [PathBuf; 0]);
    }

    #[test]
    fn a_sink_that_leaves_pages_is_an_error() {
        struct Lazy;
        impl PagesSink for Lazy {
            fn take(&self, _: &str, _: &mut dyn Read) -> io::Result<()> {
                Ok(())
            }
        }
        let _turn = locked(&ONE_AT_A_TIME);
        let images = tempfile::tempdir().unwrap();
        let fifos = PageFifos::begin(images.path(), Arc::new(Lazy)).unwrap();
        write(images.path(), 1, b"small").unwrap();
        let error = fifos.end(true, &Headway::default()).unwrap_err();
        assert_eq!(error.to_string(), "not all pages were taken");
    }

    #[test]
    fn who_writes_for_a_sink_that_hangs_is_let_go_when_it_is_given_up() {
        let _turn = locked(&ONE_AT_A_TIME);
        let (images, (tell, begun)) = (tempfile::tempdir().unwrap(), channel());
        let fifos = PageFifos::begin(images.path(), Arc::new(Hanging(tell))).unwrap();
        let directory = images.path().to_owned();
        let written = thread::spawn(move || {
            let first = write(&directory, 1, &vec![1; 8 << 20]);
            (first.unwrap_err().kind(), write(&directory, 2, &vec![1; 8 << 20]).is_err())
        });
        begun.recv().unwrap();
        while !written.is_finished() {
            refuse_pages();
            thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(written.join().unwrap(), (io::ErrorKind::BrokenPipe, true));
        fifos.end(false, &Headway::default()).unwrap();
    }

    #[test]
    fn a_sink_that_hangs_when_all_is_written_is_waited_for_until_it_is_given_up() {
        let _turn = locked(&ONE_AT_A_TIME);
        let (images, (tell, begun)) = (tempfile::tempdir().unwrap(), channel());
        let fifos = PageFifos::begin(images.path(), Arc::new(Hanging(tell))).unwrap();
        write(images.path(), 1, b"small").unwrap();
        begun.recv().unwrap();
        let headway = Headway::default();
        thread::scope(|scope| {
            let ended = scope.spawn(|| fifos.end(true, &headway));
            thread::sleep(limits::TURN_POLL * 4);
            assert!(!ended.is_finished());
            headway.give_up();
            assert_eq!(ended.join().unwrap().unwrap_err().to_string(), "it was given up");
        });
    }
}
