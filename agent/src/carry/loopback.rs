//! Connections within the tree go on in the next pod; all others are closed in the image that CRIU is given there, so that
//! a checkpoint which fails, or after which the program goes on, costs none.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use crik_store::generation::manifest::Manifest;

use super::addresses::Addresses;
use crate::tree::criu::images::{
    self, Damage, FILES_IMAGE, FilesImage, ImageError, Inet, STREAM_IMAGE, TcpStream,
};
use crate::tree::process::loopback;

/// Whether the connections of this generation go on here, as far as they can.
#[must_use]
pub fn are_kept(manifest: &Manifest) -> bool {
    manifest.images().any(|name| name.starts_with(STREAM_IMAGE)) && loopback::is_possible()
}

/// The ends in an image, by their address and that of the other end.
struct Ends(BTreeMap<(SocketAddr, SocketAddr), Inet>);

impl Ends {
    fn of(files: &FilesImage) -> Result<Self, Damage> {
        let all = files.inet_sockets()?.into_iter().filter_map(|socket| Some((addresses(&socket)?, socket)));
        Ok(Self(all.collect()))
    }

    fn other(&self, socket: &Inet) -> Option<&Inet> {
        let (from, to) = addresses(socket)?;
        self.0.contains_key(&(from, to)).then_some(())?;
        self.0.get(&(to, from))
    }
}

/// Of a socket that is connected by TCP.
fn addresses(socket: &Inet) -> Option<(SocketAddr, SocketAddr)> {
    let bare = |address: SocketAddr| SocketAddr::new(address.ip().to_canonical(), address.port());
    let (from, to) = (socket.source()?, socket.target()?);
    (socket.is_tcp() && !socket.listens()).then(|| (bare(from), bare(to)))
}

/// Closes all connections but those that can go on here, where their addresses have a place.
///
/// # Errors
/// What is wrong with the image.
pub fn close_others(files: &mut FilesImage, here: &Addresses) -> Result<(), Damage> {
    let (ends, half) = (Ends::of(files)?, loopback::can_be_half_closed());
    let goes_on = |socket: &Inet| {
        let has_place =
            addresses(socket).is_some_and(|(from, to)| here.have(from.ip()) && here.have(to.ip()));
        has_place && ends.other(socket).is_some_and(|other| half || both_say(socket, other))
    };
    files.close(|socket| !goes_on(socket))
}

fn both_say(one: &Inet, other: &Inet) -> bool {
    one.is_established() && other.is_established()
}

/// Makes the images of connections ready, over which nothing goes since before CRIU looked at them: that is not to be so in the next pod,
/// and nothing may be sent while they are put together. One whose ends do not fit together, which CRIU has looked at one after the other, is
/// closed there.
///
/// # Errors
/// An image is missing or damaged.
pub fn settle(directory: &Path, quiet: &BTreeSet<u32>) -> Result<(), ImageError> {
    let mut files = images::open_files(directory)?;
    let damaged = |what| images::damaged(directory, what);
    files.unfilter(|socket| quiet.contains(&socket.inode)).map_err(damaged)?;
    let mut torn = BTreeSet::new();
    let ends = Ends::of(&files).map_err(damaged)?;
    for socket in ends.0.values() {
        let Some(other) = ends.other(socket) else { continue };
        let (own, others) =
            (TcpStream::read(directory, socket.inode)?, TcpStream::read(directory, other.inode)?);
        if !own.fits(socket.is_ending(), &others) {
            tell_torn(socket, other, (own, others));
            torn.extend([socket.inode, other.inode]);
        }
        if own.unsent > 0 {
            TcpStream::take_as_sent(directory, socket.inode)?;
        }
    }
    files.close(|socket| torn.contains(&socket.inode)).map_err(damaged)?;
    let path = directory.join(FILES_IMAGE);
    fs::write(&path, files.encode()).map_err(|source| ImageError::Io { path, source })
}

fn tell_torn(socket: &Inet, other: &Inet, (own, others): (TcpStream, TcpStream)) {
    tracing::warn!(
        step = "freeze",
        "a connection within the program will be closed in the next pod, since its ends do not fit together: {socket} ({own:?}), {other} \
         ({others:?})"
    );
}
