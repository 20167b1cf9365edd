//! A network that nothing else on this machine is in: its ports are free, its counters count nobody else.

use std::panic::resume_unwind;
use std::{fs, thread};

use anyhow::{Context as _, Result};
use nix::sched::{CloneFlags, unshare};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::command::run;

/// All ports that need no privilege may be a client's, and as many clients may wait for a server as come.
const SETTINGS: [(&str, &str); 3] = [
    ("/proc/sys/net/ipv4/ip_local_port_range", "1024 65535"),
    ("/proc/sys/net/core/somaxconn", "16384"),
    ("/proc/sys/net/ipv4/tcp_max_syn_backlog", "16384"),
];

/// Does something in a thread, and with processes, that have only a loopback of their own. All of it is gone with the last of them.
///
/// # Errors
/// This is not root, iproute2 is missing, or what is done fails.
pub fn in_own_network<T: Send>(act: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    thread::scope(|scope| {
        let inside = scope.spawn(|| enter().and_then(|()| act()));
        inside.join().unwrap_or_else(|panic| resume_unwind(panic))
    })
}

/// Only this thread, and what it starts from now on; but the limit of open files is that of the process.
fn enter() -> Result<()> {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, most, most)?;
    unshare(CloneFlags::CLONE_NEWNET).context("cannot make a network")?;
    run("ip", &["link", "set", "lo", "up"])?;
    SETTINGS.iter().try_for_each(|(file, value)| fs::write(file, value).context(*file))
}

/// How many connections were opened in the network that this thread is in.
///
/// # Errors
/// The kernel does not tell (proc(5), `/proc/PID/net/snmp`).
pub fn connects() -> Result<u64> {
    let text = fs::read_to_string("/proc/thread-self/net/snmp")?;
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("Tcp: "));
    let (names, values) = (lines.next().context("no names")?, lines.next().context("no values")?);
    let found = names.split(' ').zip(values.split(' ')).find(|(name, _)| *name == "ActiveOpens");
    Ok(found.context("no ActiveOpens")?.1.parse()?)
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn it_has_only_what_is_opened_in_it() {
        let counted = in_own_network(|| {
            let listener = TcpListener::bind(("127.0.0.1", 80))?;
            let before = connects()?;
            drop(TcpStream::connect(listener.local_addr()?)?);
            Ok((before, connects()?))
        });
        assert_eq!(counted.unwrap(), (0, 1));
    }
}
