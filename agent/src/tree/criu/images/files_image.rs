//! The image of all open files (`files.img`), of which a changed copy can be made: a restore may need other names and addresses
//! than the checkpoint had.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use prost::Message;

use super::messages::{Regular, Timer};
use super::records::split;
use super::sockets::{CLOSED, Inet, Unix};
use super::wire::WireMessage;

/// The image's name in its directory.
pub const FILES_IMAGE: &str = "files.img";

/// What every image has before its records: two magic numbers.
const HEAD: usize = 8;

/// Fields of `file_entry`, and of the messages in it (CRIU, `images/fdinfo.proto` and what that imports).
mod field {
    pub(super) const REGULAR: u64 = 3;
    pub(super) const INET: u64 = 4;
    pub(super) const TIMER: u64 = 12;
    pub(super) const UNIX: u64 = 16;
    pub(super) mod regular {
        pub(in super::super) const NAME: u64 = 6;
        pub(in super::super) const SIZE: u64 = 8;
    }
    pub(super) mod inet {
        pub(in super::super) const STATE: u64 = 6;
        pub(in super::super) const SOURCE_PORT: u64 = 7;
        pub(in super::super) const TARGET_PORT: u64 = 8;
        pub(in super::super) const OPTIONS: u64 = 14;
        pub(in super::super) const SOURCE: u64 = 11;
        pub(in super::super) const TARGET: u64 = 12;
        pub(in super::super) const SHUTDOWN: u64 = 19;
        /// `BOTH` of `sk_shutdown` (CRIU, `images/sk-opts.proto`).
        pub(in super::super) const BOTH_DIRECTIONS: u64 = 3;
    }
    pub(super) mod options {
        pub(in super::super) const FILTER: u64 = 16;
    }
    pub(super) mod timer {
        pub(in super::super) const SECONDS: u64 = 7;
        pub(in super::super) const NANOSECONDS: u64 = 8;
    }
    pub(super) mod unix {
        pub(in super::super) const PEER: u64 = 8;
    }
}

/// Why an image cannot be changed; completes «… is damaged: …».
pub type Damage = String;

/// The image, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilesImage {
    head: [u8; HEAD],
    records: Vec<WireMessage>,
}

/// A regular file or directory that is open, mapped, executed, or a working directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegularFile {
    /// CRIU's number for it.
    pub id: u32,
    /// Its absolute path.
    pub path: PathBuf,
    /// Up to where it has been read or written.
    pub position: u64,
    /// Its size at the checkpoint, which CRIU compares; none for what is no regular file.
    pub size: Option<u64>,
}

/// What a regular file is to be at the restore.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Renamed {
    /// Its absolute path there.
    pub path: PathBuf,
    /// Its size there; none to leave it as it is.
    pub size: Option<u64>,
}

impl FilesImage {
    /// Takes the contents of the image apart.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn parse(bytes: &[u8]) -> Result<Self, Damage> {
        let records = split(bytes)?;
        let head = bytes.first_chunk().copied().ok_or("it has no magic number of its own")?;
        let records = records.iter().map(|record| WireMessage::parse(record)).collect::<Result<_, _>>()?;
        Ok(Self { head, records })
    }

    /// Puts it together again.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = self.head.to_vec();
        for record in self.records.iter().map(WireMessage::encode) {
            bytes.extend((record.len() as u32).to_le_bytes());
            bytes.extend(record);
        }
        bytes
    }

    /// All regular files and directories.
    ///
    /// # Errors
    /// What is wrong with the image.
    pub fn regular_files(&self) -> Result<Vec<RegularFile>, Damage> {
        Ok(self.all::<Regular>(field::REGULAR)?.iter().map(RegularFile::of).collect())
    }

    /// All sockets of the internet protocols.
    ///
    /// # Errors
    /// What is wrong with the image.
    pub fn inet_sockets(&self) -> Result<Vec<Inet>, Damage> {
        self.all(field::INET)
    }

    /// All UNIX sockets.
    ///
    /// # Errors
    /// What is wrong with the image.
    pub fn unix_sockets(&self) -> Result<Vec<Unix>, Damage> {
        self.all(field::UNIX)
    }

    /// Gives regular files other names, where `change` says so.
    ///
    /// # Errors
    /// What is wrong with the image, or what `change` says against it.
    pub fn rename<E: From<Damage>>(
        &mut self,
        mut change: impl FnMut(&RegularFile) -> Result<Option<Renamed>, E>,
    ) -> Result<(), E> {
        self.each(field::REGULAR, |file: &Regular, message| {
            let Some(renamed) = change(&RegularFile::of(file))? else { return Ok(false) };
            message.set_bytes(field::regular::NAME, renamed.path.as_os_str().as_bytes());
            renamed.size.iter().for_each(|size| message.set_number(field::regular::SIZE, *size));
            Ok(true)
        })
    }

    /// Lets regular files have any size at the restore, where `which` says so of their paths.
    ///
    /// # Errors
    /// What is wrong with the image.
    pub fn forget_sizes(&mut self, which: impl Fn(&Path) -> bool) -> Result<(), Damage> {
        self.each(field::REGULAR, |file: &Regular, message| {
            let forget = which(&RegularFile::of(file).path);
            if forget {
                message.remove(field::regular::SIZE);
            }
            Ok(forget)
        })
    }

    /// Gives sockets other addresses, where `change` says so: from where and to where.
    ///
    /// # Errors
    /// What is wrong with the image, or what `change` says against it.
    pub fn readdress<E: From<Damage>>(
        &mut self,
        mut change: impl FnMut(&Inet) -> Result<Option<Inet>, E>,
    ) -> Result<(), E> {
        self.each(field::INET, |socket: &Inet, message| {
            let Some(changed) = change(socket)? else { return Ok(false) };
            let words = |words: &[u32]| words.iter().copied().map(u64::from).collect::<Vec<_>>();
            message.set_numbers(field::inet::SOURCE, words(&changed.source));
            message.set_numbers(field::inet::TARGET, words(&changed.target));
            Ok(true)
        })
    }

    /// Makes connections into sockets that are connected with nobody, where `which` says so. Who reads or waits for one learns that it has
    /// ended, as of those that CRIU closes itself (criu/sk-tcp.c, `restore_one_tcp`): poll(2) tells nothing to read of one that was never
    /// connected.
    ///
    /// # Errors
    /// What is wrong with the image.
    pub fn close(&mut self, which: impl Fn(&Inet) -> bool) -> Result<(), Damage> {
        self.each(field::INET, |socket: &Inet, message| {
            let is_connected = socket.is_tcp() && socket.target().is_some();
            if !is_connected || !which(socket) {
                return Ok(false);
            }
            message.set_number(field::inet::STATE, CLOSED.into());
            message.set_number(field::inet::SOURCE_PORT, 0);
            message.set_number(field::inet::TARGET_PORT, 0);
            message.set_number(field::inet::SHUTDOWN, field::inet::BOTH_DIRECTIONS);
            Ok(true)
        })
    }

    /// Takes the packet filter off sockets, where `which` says so.
    ///
    /// # Errors
    /// What is wrong with the image.
    pub fn unfilter(&mut self, which: impl Fn(&Inet) -> bool) -> Result<(), Damage> {
        self.each(field::INET, |socket: &Inet, message| {
            let options = message.bytes(field::inet::OPTIONS).filter(|_| which(socket));
            let Some(options) = options else { return Ok(false) };
            let mut options = WireMessage::parse(options)?;
            options.remove(field::options::FILTER);
            message.set_bytes(field::inet::OPTIONS, &options.encode());
            Ok(true)
        })
    }

    /// Leaves those UNIX sockets unconnected whose peer is one of these, by its inode.
    ///
    /// # Errors
    /// What is wrong with the image.
    pub fn disconnect(&mut self, peers: &[u32]) -> Result<(), Damage> {
        self.each(field::UNIX, |socket: &Unix, message| {
            let found = socket.peer != 0 && peers.contains(&socket.peer);
            if found {
                message.set_number(field::unix::PEER, 0);
            }
            Ok(found)
        })
    }

    /// Has those timers (timerfd) go on that repeat, and had gone off without anybody's having read that yet. The kernel starts such a
    /// one again when it is read (fs/timerfd.c, `timerfd_read`); until then it tells that nothing remains, with which CRIU would stop it.
    ///
    /// # Errors
    /// What is wrong with the image.
    pub fn wind_up(&mut self) -> Result<(), Damage> {
        self.each(field::TIMER, |timer: &Timer, message| {
            let has_run_out = timer.ticks > 0 && (timer.seconds, timer.nanoseconds) == (0, 0);
            if has_run_out {
                message.set_number(field::timer::SECONDS, timer.every_seconds);
                message.set_number(field::timer::NANOSECONDS, timer.every_nanoseconds);
            }
            Ok(has_run_out)
        })
    }

    fn all<T: Message + Default>(&self, number: u64) -> Result<Vec<T>, Damage> {
        self.records.iter().filter_map(|record| record.bytes(number)).map(decode).collect()
    }

    /// Has `change` look at each message in field `number`; it says whether it has changed it.
    fn each<T: Message + Default, E: From<Damage>>(
        &mut self,
        number: u64,
        mut change: impl FnMut(&T, &mut WireMessage) -> Result<bool, E>,
    ) -> Result<(), E> {
        for record in &mut self.records {
            let Some(bytes) = record.bytes(number) else { continue };
            let decoded = decode(bytes)?;
            let mut message = WireMessage::parse(bytes).map_err(Damage::from)?;
            if change(&decoded, &mut message)? {
                record.set_bytes(number, &message.encode());
            }
        }
        Ok(())
    }
}

fn decode<T: Message + Default>(bytes: &[u8]) -> Result<T, Damage> {
    T::decode(bytes).map_err(|error| error.to_string())
}

impl RegularFile {
    fn of(file: &Regular) -> Self {
        Self {
            id: file.id,
            path: Path::new(OsStr::from_bytes(&file.name)).into(),
            position: file.position,
            size: file.size,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Wraps messages as CRIU does: each in a `file_entry` with its type, its id and something that is not known here.
    fn image(entries: &[(u64, Vec<u8>)]) -> Vec<u8> {
        let mut records = Vec::new();
        for (number, message) in entries {
            let mut entry = WireMessage::parse(&[]).unwrap();
            entry.set_number(1, 1);
            entry.set_bytes(*number, message);
            entry.set_bytes(99, b"of a later release");
            records.push(entry);
        }
        let head = [0x19, 0x43, 0x56, 0x54, 1, 2, 3, 4];
        FilesImage { head, records }.encode()
    }

    fn regular(name: &str) -> Vec<u8> {
        Regular { id: 1, name: name.into(), position: 7, size: Some(9) }.encode_to_vec()
    }

    #[test]
    fn a_timer_that_repeats_goes_on_and_others_are_as_before() {
        let timer = |ticks, seconds, every_seconds| Timer {
            ticks,
            seconds,
            nanoseconds: 0,
            every_seconds,
            every_nanoseconds: every_seconds,
        };
        let all = [timer(3, 0, 5), timer(3, 1, 5), timer(1, 0, 0), timer(0, 0, 0)];
        let entries = all.each_ref().map(|timer| (field::TIMER, timer.encode_to_vec()));
        let mut image = FilesImage::parse(&image(&entries)).unwrap();
        image.wind_up().unwrap();
        let [_, others @ ..] = all;
        let gone_on = Timer { nanoseconds: 5, ..timer(3, 5, 5) };
        assert_eq!(image.all::<Timer>(field::TIMER).unwrap(), [&[gone_on], &others[..]].concat());
    }

    #[test]
    fn a_connection_is_closed_or_loses_its_filter_and_the_rest_is_as_before() {
        let mut socket = WireMessage::parse(&[]).unwrap();
        for (number, value) in [(2, 77), (5, 6), (6, 1), (7, 4000), (8, 5000)] {
            socket.set_number(number, value);
        }
        socket.set_numbers(11, [16_777_343]);
        socket.set_numbers(12, [16_777_343]);
        let mut options = WireMessage::parse(&[]).unwrap();
        options.set_number(4, 1);
        let bare = options.encode();
        options.set_numbers(field::options::FILTER, [6]);
        socket.set_bytes(field::inet::OPTIONS, &options.encode());
        let before = FilesImage::parse(&image(&[(field::INET, socket.encode())])).unwrap();

        let mut unfiltered = before.clone();
        unfiltered.unfilter(|socket| socket.inode == 78).unwrap();
        assert_eq!(unfiltered, before);
        unfiltered.unfilter(|socket| socket.inode == 77).unwrap();
        let message = WireMessage::parse(unfiltered.records[0].bytes(field::INET).unwrap()).unwrap();
        assert_eq!(message.bytes(field::inet::OPTIONS), Some(&*bare));

        let mut closed = before.clone();
        closed.close(|_| false).unwrap();
        assert_eq!(closed, before);
        closed.close(Inet::is_established).unwrap();
        let socket = &closed.inet_sockets().unwrap()[0];
        assert_eq!((socket.state, socket.source_port, socket.target()), (CLOSED, 0, None));
        let message = WireMessage::parse(closed.records[0].bytes(field::INET).unwrap()).unwrap();
        let mut ended = message.clone();
        ended.set_number(field::inet::SHUTDOWN, field::inet::BOTH_DIRECTIONS);
        assert_eq!(message, ended);
    }

    #[test]
    fn only_what_is_renamed_changes() {
        let before = image(&[(3, regular("/a")), (3, regular("/b"))]);
        let mut files = FilesImage::parse(&before).unwrap();
        assert_eq!(files.encode(), before);
        let renamed = Renamed { path: "/elsewhere".into(), size: Some(300) };
        files
            .rename(|file| Ok::<_, Damage>((file.path == Path::new("/b")).then(|| renamed.clone())))
            .unwrap();
        let after = image(&[
            (3, regular("/a")),
            (3, Regular { id: 1, name: "/elsewhere".into(), position: 7, size: Some(300) }.encode_to_vec()),
        ]);
        assert_eq!(FilesImage::parse(&files.encode()).unwrap(), FilesImage::parse(&after).unwrap());
    }

    #[test]
    fn a_size_can_be_forgotten() {
        let mut files = FilesImage::parse(&image(&[(3, regular("/a")), (3, regular("/b"))])).unwrap();
        files.forget_sizes(|path| path == Path::new("/b")).unwrap();
        let sizes: Vec<Option<u64>> = files.regular_files().unwrap().iter().map(|file| file.size).collect();
        assert_eq!(sizes, [Some(9), None]);
    }

    #[test]
    fn only_the_sockets_of_a_peer_that_is_missing_are_disconnected() {
        let socket = |inode, peer| Unix { inode, peer, ..Unix::default() }.encode_to_vec();
        let mut files = FilesImage::parse(&image(&[(16, socket(1, 5)), (16, socket(2, 6))])).unwrap();
        files.disconnect(&[6]).unwrap();
        let peers: Vec<u32> = files.unix_sockets().unwrap().iter().map(|socket| socket.peer).collect();
        assert_eq!(peers, [5, 0]);
    }

    #[test]
    fn damage_is_told() {
        let whole = image(&[(3, regular("/a"))]);
        for length in 0..whole.len() {
            assert_eq!(FilesImage::parse(&whole[..length]).is_ok(), length == HEAD, "{length}");
        }
        let a_number_for_a_name = image(&[(3, vec![0x30, 1])]);
        assert!(FilesImage::parse(&a_number_for_a_name).unwrap().regular_files().is_err());
    }

    #[test]
    fn a_name_may_have_any_bytes() {
        let files = FilesImage::parse(&image(&[(3, vec![0x32, 2, b'/', 0xff])])).unwrap();
        assert_eq!(files.regular_files().unwrap()[0].path.as_os_str().as_bytes(), b"/\xff");
    }
}
