//! The only network of a copy: a loopback that leads nowhere else, with the addresses to which the program's sockets are bound.

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// `struct ifreq` of netdevice(7), with an address or flags.
#[repr(C)]
struct Request {
    name: [u8; libc::IFNAMSIZ],
    value: [u8; 24],
}

/// `struct in6_ifreq` of the kernel's `linux/ipv6.h`.
#[repr(C)]
struct Request6 {
    address: [u8; 16],
    prefix: u32,
    interface: i32,
}

/// A loopback that is up, with the pod's addresses.
///
/// # Errors
/// The kernel refuses.
pub fn bring_up(addresses: &[IpAddr]) -> io::Result<()> {
    let socket = |family| {
        // SAFETY: socket(2) takes numbers, and its answer is nobody else's.
        let fd = unsafe { libc::socket(family, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: as above.
        Ok(unsafe { OwnedFd::from_raw_fd(fd) })
    };
    let v4 = socket(libc::AF_INET)?;
    let mut up = [0; 24];
    up[..2].copy_from_slice(&((libc::IFF_UP | libc::IFF_RUNNING) as u16).to_ne_bytes());
    request(&v4, libc::SIOCSIFFLAGS, &Request { name: interface("lo"), value: up })?;
    for (number, address) in addresses.iter().enumerate() {
        match address {
            IpAddr::V4(address) => {
                let mut value = [0; 24];
                value[..2].copy_from_slice(&(libc::AF_INET as u16).to_ne_bytes());
                value[4..8].copy_from_slice(&address.octets());
                request(
                    &v4,
                    libc::SIOCSIFADDR,
                    &Request { name: interface(&format!("lo:{number}")), value },
                )?;
            }
            IpAddr::V6(address) => {
                let all = Request6 { address: address.octets(), prefix: 128, interface: 1 };
                // A kernel without IPv6 had no such address.
                request(&socket(libc::AF_INET6)?, libc::SIOCSIFADDR, &all)?;
            }
        }
    }
    Ok(())
}

fn interface(name: &str) -> [u8; libc::IFNAMSIZ] {
    let mut all = [0; libc::IFNAMSIZ];
    all[..name.len()].copy_from_slice(name.as_bytes());
    all
}

fn request<T>(socket: &OwnedFd, what: libc::c_ulong, with: &T) -> io::Result<()> {
    // SAFETY: the kernel reads a structure of this request's form (netdevice(7)).
    let done = unsafe { libc::ioctl(socket.as_raw_fd(), what as _, std::ptr::from_ref(with)) };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
