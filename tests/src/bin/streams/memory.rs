//! A store for pages: memory files, and all the ways in which one may fail.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use crik_agent::tree::criu::{PagesSink, PagesSource};
use nix::sys::memfd::{MFdFlags, memfd_create};

/// What a sink or a source reads and writes at once.
const PART: usize = 1 << 20;

/// What it does to a dump or a restore.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// It keeps all and gives all.
    Well,
    /// It fails half-way.
    Fail,
    /// It hangs half-way, for ever.
    Hang,
    /// It gives a page less.
    Less,
    /// It gives a page more.
    More,
}

/// The images by their names.
pub struct Memory {
    way: Way,
    images: Mutex<BTreeMap<String, File>>,
    /// It hangs by now.
    pub hangs: AtomicBool,
}

impl Memory {
    pub fn new(way: Way) -> Self {
        Self { way, images: Mutex::default(), hangs: AtomicBool::new(false) }
    }

    /// The same images, given in another way.
    pub fn given(&self, way: Way) -> io::Result<Self> {
        let images = self.images.lock().unwrap_or_else(PoisonError::into_inner);
        let images = images.iter().map(|(name, file)| Ok((name.clone(), file.try_clone()?)));
        Ok(Self {
            way,
            images: Mutex::new(images.collect::<io::Result<_>>()?),
            hangs: AtomicBool::new(false),
        })
    }

    fn half_way(&self) -> io::Result<()> {
        match self.way {
            Way::Fail => Err(io::Error::other("the volume is full")),
            Way::Hang => loop {
                self.hangs.store(true, Ordering::Release);
                thread::park();
            },
            _ => Ok(()),
        }
    }
}

impl PagesSink for Memory {
    fn take(&self, name: &str, pages: &mut dyn Read) -> io::Result<()> {
        let mut file = File::from(memfd_create(c"pages", MFdFlags::MFD_CLOEXEC)?);
        let mut part = vec![0; PART];
        let mut all = 0;
        loop {
            match pages.read(&mut part)? {
                0 => break,
                read => {
                    file.write_all(&part[..read])?;
                    all += read;
                }
            }
            if all > PART {
                self.half_way()?;
            }
        }
        self.images.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), file);
        Ok(())
    }
}

impl PagesSource for Memory {
    fn has(&self, name: &str) -> bool {
        self.images.lock().unwrap_or_else(PoisonError::into_inner).contains_key(name)
    }

    fn give(&self, name: &str, to: &mut dyn Write) -> io::Result<()> {
        let images = self.images.lock().unwrap_or_else(PoisonError::into_inner);
        let file = images.get(name).ok_or(io::ErrorKind::NotFound)?.try_clone()?;
        drop(images);
        let whole = file.metadata()?.len();
        let end = if self.way == Way::Less { whole - 4096 } else { whole };
        let mut part = vec![0; PART];
        let mut at = 0;
        while at < end {
            if at > whole / 2 {
                self.half_way()?;
            }
            let length = PART.min((end - at) as usize);
            file.read_exact_at(&mut part[..length], at)?;
            to.write_all(&part[..length])?;
            at += length as u64;
        }
        if self.way == Way::More { to.write_all(&[0; 4096]) } else { Ok(()) }
    }
}
