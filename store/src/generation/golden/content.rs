//! What the golden image directories hold.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::base::limits::PAGE_BYTES;
use crate::generation::manifest::Manifest;
use crate::image_dir::{Generation, ImageDir};

/// The parts of a generation, by their names.
pub type Parts = BTreeMap<String, Vec<u8>>;

/// In one form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Form {
    /// Its directory's name.
    pub name: &'static str,
    pub is_signed: bool,
    pub is_encrypted: bool,
    pub in_chunks: bool,
    pub in_a_bucket: bool,
}

pub const FORMS: [Form; 4] = [
    Form { name: "plain", is_signed: true, is_encrypted: false, in_chunks: false, in_a_bucket: false },
    Form { name: "chunks", is_signed: false, is_encrypted: false, in_chunks: true, in_a_bucket: false },
    Form { name: "encrypted", is_signed: true, is_encrypted: true, in_chunks: true, in_a_bucket: false },
    Form { name: "bucket", is_signed: true, is_encrypted: true, in_chunks: true, in_a_bucket: true },
];

/// What is in one of the generations: what the one before has, and more, for which another codec is best.
pub fn parts(generation: Generation) -> Parts {
    let pages = (1..=generation.0).map(|number| (format!("criu/pages-{number}.img"), pages(number)));
    let others: [(&str, &[u8]); 4] = [
        ("criu/inventory.img", b"inventory"),
        ("carried.json", b"{}"),
        ("carried.data", b""),
        ("unnamed/1", b"of nobody"),
    ];
    pages.chain(others.map(|(name, bytes)| (name.to_owned(), bytes.to_vec()))).collect()
}

/// Zeros and what nothing makes smaller, what is there twice, or what has few letters.
fn pages(number: u64) -> Vec<u8> {
    let noise = |count: usize| -> Vec<u8> {
        let hash = |part: usize| *blake3::hash(format!("{number} {part}").as_bytes()).as_bytes();
        (0..count / 32).flat_map(hash).collect()
    };
    match number {
        1 => [vec![0; 5 * PAGE_BYTES], noise(1024)].concat(),
        2 => noise(1024).repeat(2),
        _ => noise(2048).into_iter().map(|byte| b"acgt"[usize::from(byte) % 4]).collect(),
    }
}

/// A manifest in which nothing is left out.
pub fn manifest(dir: &ImageDir, generation: Generation) -> Manifest {
    let hash = blake3::hash(b"golden").to_hex().to_string();
    let digest = json!({"size": 6, "blake3": hash});
    let clocks = json!({"monotonic": 1, "monotonicRaw": 2, "boottime": 3, "ticks": 4});
    let mut manifest = json!({
        "version": 2, "generation": generation, "createdAt": 1_790_000_000, "crikVersion": env!("CARGO_PKG_VERSION"),
        "identity": identity(&hash, &digest),
        "tree": {"root": 300, "init": "/crik/init", "processes": 2, "residentBytes": 4096, "orphans": true, "capabilities": 1},
        "stdio": ["/dev/null", "pipe:[1]", "pipe:[2]"],
        "terminal": {"names": ["/dev/pts/0"], "session": 300, "foreground": 301},
        "cgroups": {"own": "/kubepods/pod1", "openFiles": ["/sys/fs/cgroup/memory.max"]},
        "addresses": [{"interface": "eth0", "ip": "10.0.0.7"}, {"interface": "eth0", "ip": "fd00::7"}],
        "kubeletFiles": [{"path": "/config/key", "whole": digest, "read": digest}],
        "datagramPeers": [{"pid": 300, "fd": 5, "path": "/run/log"}],
        "extraPaths": [], "monotonicSeconds": 1000, "durationsMs": {"dump": 5, "pause": 7}, "files": {},
        "imageDir": dir.root(), "wentOn": true, "ids": [300, 301], "hasDigest": true,
    });
    let more = json!({
        "clocks": {"told": clocks, "library": {"library": "/dev/shm/crik-clocks-1", "page": "/dev/shm/crik-clocks-2"},
                   "others": {"301": {"name": "worker", "kind": "go", "ahead": clocks}}, "ranMs": 9},
        "volumeFiles": [{"path": "/data/log", "size": 9, "modified": -1, "access": "append"}],
        "unnamedFiles": [{"name": "/data/gone (deleted)", "kept": {"copied": "1"}, "mode": 0o600, "uid": 1, "gid": 2}],
        "fileNumbers": [{"path": "/data/log", "device": 1, "inode": 2}],
    });
    if let (Value::Object(manifest), Value::Object(more)) = (&mut manifest, more) {
        manifest.extend(more);
    }
    Manifest::parse(&serde_json::to_vec(&manifest).unwrap()).unwrap()
}

fn identity(hash: &str, digest: &Value) -> Value {
    json!({
        "argv": ["/bin/golden", "--of", "a-test"], "arch": "x86_64", "cpuFeatures": ["avx2"], "kernel": "6.1.0", "criu": 41_100,
        "node": "node-a", "host": "job-0", "own": [["ipv4", "10.0.0.7"]], "programs": {"/bin/golden": digest},
        "programsOfAnyPod": {"/bin/start": hash}, "release": "v1", "environment": {"MODE": hash}, "podFiles": {"/config/args": hash},
    })
}
