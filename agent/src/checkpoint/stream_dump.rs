//! Stores what CRIU writes of memory as streams of the generation that is made: here CRIU's end and the store's meet.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crik_store::generation::streams::StreamsWriter;
use crik_store::image_dir::layout;

use crate::base::limits;
use crate::tree::criu::PagesSink;

/// The streams of a dump.
pub struct StreamDump {
    streams: Arc<StreamsWriter>,
    /// How many bytes came, for who watches the dump.
    came: Arc<AtomicU64>,
}

impl StreamDump {
    /// Into these streams.
    pub fn new(streams: Arc<StreamsWriter>, came: Arc<AtomicU64>) -> Self {
        Self { streams, came }
    }

    /// Stores an image, so much of it at once.
    fn store(&self, name: &str, image: &mut dyn Read, at_once: u64) -> io::Result<()> {
        let mut stream = self.streams.stream(&format!("{}/{name}", layout::IMAGES))?;
        loop {
            match stream.read_from(&mut image.take(at_once))? {
                0 => return stream.finish(),
                bytes => self.came.fetch_add(bytes as u64, Ordering::Relaxed),
            };
        }
    }

    /// Takes all that CRIU has written into files of a directory.
    ///
    /// # Errors
    /// One cannot be read, or not be stored.
    pub fn take_files(&self, images: &Path) -> io::Result<()> {
        for entry in fs::read_dir(images)? {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                let name = entry.file_name();
                self.store(
                    &name.to_string_lossy(),
                    &mut File::open(entry.path())?,
                    limits::READ_PIECE_BYTES as u64,
                )?;
            }
        }
        Ok(())
    }
}

impl PagesSink for StreamDump {
    fn take(&self, name: &str, pages: &mut dyn Read) -> io::Result<()> {
        self.store(name, pages, limits::STREAM_PART_BYTES)
    }
}
