//! How fast one thread seals and opens chunks: `cargo run --release --package crik-store --example seal_speed`.

use std::time::Instant;

use crik_store::encryption::cipher::ChunkCipher;
use crik_store::encryption::secret::GenerationSecret;

/// As large as a chunk is in the mean.
static CHUNK: [u8; 32 << 10] = [7; 32 << 10];
const CHUNKS: usize = 10_000;

/// The best of some rounds: others use the machine too.
fn measure(what: &str, mut once: impl FnMut()) {
    let mut round = || {
        let begin = Instant::now();
        (0..CHUNKS).for_each(|_| once());
        begin.elapsed().as_secs_f64()
    };
    let best = (0..5).map(|_| round()).fold(f64::INFINITY, f64::min);
    println!("{what}: {:.0} MB/s", (CHUNKS * CHUNK.len()) as f64 / best / 1e6);
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let cipher = ChunkCipher::new(&GenerationSecret::generate()?, b"/checkpoints/job-0");
    let (name, mut sealed, mut plain) = ([9; 32], Vec::new(), Vec::new());
    measure("seal", || {
        sealed.clear();
        cipher.seal(&name, &CHUNK, &mut sealed);
    });
    measure("open", || {
        plain.clear();
        // What does not open is no measure.
        assert!(cipher.open(&name, &sealed, &mut plain).is_ok());
    });
    Ok(())
}
