//! Which codec makes a checkpoint durable soonest. What makes chunks smaller takes the processors' time, and spares the volume's: the
//! slower of both is what is waited for. Neither is known before, and both change, so they are measured while it runs.

use std::time::Duration;

use crate::chunks::codec::Codec;

/// How fast a volume is taken to be that has not been measured, in bytes a second: that of a network disk.
const UNKNOWN_VOLUME: f64 = 300e6;

/// By how much one that takes more time must be better to be taken: what was measured varies by as much.
const MARGIN: f64 = 1.05;

/// After so many bytes what was measured counts for half of what is measured then.
const MEMORY_BYTES: f64 = 64e6;

/// What was seen of a codec.
#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    bytes: f64,
    kept: f64,
    seconds: f64,
}

/// What was seen of all of them and of the volume.
#[derive(Debug, Clone)]
pub struct Choice {
    processors: f64,
    codecs: [Seen; Codec::ALL.len()],
    volume: Seen,
}

impl Choice {
    /// With so many processors, and a volume that takes so many bytes a second, if that is known.
    pub fn new(processors: usize, volume: Option<f64>) -> Self {
        let speed = volume.unwrap_or(UNKNOWN_VOLUME).max(1.0);
        let volume = Seen { bytes: MEMORY_BYTES / 8.0, kept: 0.0, seconds: MEMORY_BYTES / 8.0 / speed };
        Self { processors: processors as f64, codecs: Default::default(), volume }
    }

    /// So many `bytes` were made so many by a codec, in this time on one processor.
    pub fn encoded(&mut self, codec: Codec, bytes: usize, kept: usize, took: Duration) {
        self.codecs[codec as usize].note(bytes as f64, kept as f64, took);
    }

    /// So many bytes were written in this time.
    pub fn written(&mut self, bytes: usize, took: Duration) {
        self.volume.note(bytes as f64, 0.0, took);
    }

    /// How many bytes a second the volume takes.
    pub fn volume(&self) -> f64 {
        self.volume.bytes / self.volume.seconds.max(f64::MIN_POSITIVE)
    }

    /// The one that makes most bytes durable a second. As long as nothing was seen of one it is not taken, but for the first.
    pub fn best(&self) -> Codec {
        let faster = |best: Codec, other: Codec| {
            if self.rate(other) > self.rate(best) * MARGIN { other } else { best }
        };
        Codec::ALL.into_iter().reduce(faster).unwrap_or(Codec::Plain)
    }

    /// Bytes a second that the processors and the volume manage together.
    fn rate(&self, codec: Codec) -> f64 {
        let seen = self.codecs[codec as usize];
        match codec {
            Codec::Plain => self.volume(),
            _ if seen.kept == 0.0 => 0.0,
            _ => (self.processors * seen.bytes / seen.seconds.max(f64::MIN_POSITIVE))
                .min(self.volume() * seen.bytes / seen.kept),
        }
    }
}

impl Seen {
    fn note(&mut self, bytes: f64, kept: f64, took: Duration) {
        let keep = 0.5_f64.powf(bytes / MEMORY_BYTES);
        self.bytes = self.bytes * keep + bytes;
        self.kept = self.kept * keep + kept;
        self.seconds = self.seconds * keep + took.as_secs_f64();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two processors; LZ4 does 0.8 GB/s each, Zstandard half of that.
    fn choice(volume: f64, smaller: (f64, f64)) -> Codec {
        let mut choice = Choice::new(2, Some(volume));
        let megabyte = 1_000_000;
        let kept = |times: f64| (1e6 / times) as usize;
        choice.encoded(Codec::Lz4, megabyte, kept(smaller.0), Duration::from_micros(1250));
        choice.encoded(Codec::Zstd, megabyte, kept(smaller.1), Duration::from_micros(2500));
        choice.best()
    }

    #[test]
    fn the_slower_the_volume_the_smaller_the_chunks() {
        let arrays = (2.5, 3.5);
        assert_eq!(choice(5e9, arrays), Codec::Plain);
        assert_eq!(choice(600e6, arrays), Codec::Lz4);
        assert_eq!(choice(150e6, arrays), Codec::Zstd);
    }

    #[test]
    fn what_nothing_makes_smaller_is_kept_as_it_is() {
        assert_eq!(choice(150e6, (1.0, 1.0)), Codec::Plain);
    }

    #[test]
    fn what_was_measured_of_the_volume_counts_more_than_what_was_supposed() {
        let mut choice = Choice::new(2, Some(5e9));
        (0..200).for_each(|_| choice.written(1_000_000, Duration::from_millis(10)));
        assert!((90e6..110e6).contains(&choice.volume()), "{}", choice.volume());
    }

    #[test]
    fn before_anything_was_seen_there_is_a_choice_all_the_same() {
        assert_eq!(Choice::new(2, None).best(), Codec::Plain);
    }
}
