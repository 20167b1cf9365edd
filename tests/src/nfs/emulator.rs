//! QEMU, with all that it needs: nothing of it has a name, and it ends with this process, however that ends.

use std::env::consts::ARCH;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{self, Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;

use anyhow::{Context as _, Result, ensure};

use super::given;
use crate::rootfs::{Root, SMALL, built};

/// What makes the machine's disk.
const IMAGE: &str = include_str!("../../nfs/image.sh");

/// Emulation needs no help of the host's processor, which a virtual machine often has not. The disks are of two kinds, so that
/// no order decides which is which, and the kernel needs no module for the first. One processor: the kernel changes its own code while
/// it runs, and an emulator with several may run what was there before on another one («Oops: int3»). The memory is for the pods of
/// one test and the page cache of a server.
const ARGS: &str = "-accel tcg,thread=multi -cpu max -smp 1 -m 2G -nodefaults -no-user-config -display none -no-reboot \
    -device nvme,drive=system,serial=system -device virtio-blk-pci,drive=given -serial chardev:console \
    -device virtio-serial-pci -chardev stdio,id=port,signal=off -device virtserialport,chardev=port,name=crik";

/// The end of the first process is a panic, and that the end of the emulator.
const KERNEL: &str = "console=ttyS0 quiet panic=-1 root=/dev/nvme0n1 rw init=/bin/sh -- -c \"mount -t devtmpfs devtmpfs \
    /dev && modprobe virtio_blk && mount -o ro /dev/vda /mnt && exec sh /mnt/etc/crik-machine/init\"";

/// One that runs; ended when this is dropped.
pub struct Emulator {
    child: Child,
    console: File,
    /// It may not have opened it yet.
    _given: File,
}

impl Emulator {
    /// Starts one whose port is the other end of `port`.
    ///
    /// # Errors
    /// What it needs cannot be built.
    pub fn start(port: UnixStream) -> Result<Self> {
        ensure!(
            ARCH == "x86_64",
            "the machine with the NFS is one of x86-64, as the programs that it runs have to be"
        );
        let pods = Root::Small.path()?;
        let image = built("nfs-machine", IMAGE, &[IMAGE, SMALL].concat(), Some(&pods))?;
        let (given, console) = (given::disk()?, console()?);
        let mut command = command(&image, &given, &console);
        command
            .stdin(OwnedFd::from(port.try_clone()?))
            .stdout(OwnedFd::from(port))
            .stderr(Stdio::from(console.try_clone()?));
        let child = spawn(command).context("setpriv is missing; apt-get install util-linux")?;
        Ok(Self { child, console, _given: given })
    }

    /// What the kernel and the first process have said, and QEMU.
    pub fn console(&self) -> String {
        let length = self.console.metadata().map_or(0, |file| file.len());
        let mut text = vec![0; usize::try_from(length).unwrap_or_default()];
        let read = self.console.read_at(&mut text, 0).unwrap_or_default();
        String::from_utf8_lossy(&text[..read]).into_owned()
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Without a name, and so that nobody who writes to it overwrites what another has written.
fn console() -> Result<File> {
    Ok(tempfile::Builder::new().append(true).tempfile()?.into_file())
}

fn command(image: &Path, given: &File, console: &File) -> Command {
    let opened = |file: &File| format!("/proc/{}/fd/{}", process::id(), file.as_raw_fd());
    // What is written is forgotten at the end, so that it need not be on this machine's disk before.
    let drives = [
        format!(
            "file={},if=none,id=system,format=raw,snapshot=on,cache=unsafe",
            image.join("disk.img").display()
        ),
        format!("file={},if=none,id=given,format=raw,cache=unsafe", opened(given)),
    ];
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "qemu-system-x86_64"]).args(ARGS.split_whitespace());
    command.args(drives.iter().flat_map(|drive| ["-drive", drive]));
    command.args(["-chardev", &format!("file,id=console,path={},append=on", opened(console))]);
    command.arg("-kernel").arg(image.join("vmlinuz")).args(["-append", KERNEL]);
    command
}

/// In a thread that never ends: a parent's death is that of the thread which has started a process (prctl(2),
/// PR_SET_PDEATHSIG), and those of tests end with their tests.
fn spawn(mut command: Command) -> io::Result<Child> {
    let (to, from) = mpsc::channel();
    thread::spawn(move || {
        let spawned = command.spawn();
        // With it goes our end of the port that is the emulator's.
        drop(command);
        let _ = to.send(spawned);
        loop {
            thread::park();
        }
    });
    from.recv().map_err(io::Error::other)?
}
