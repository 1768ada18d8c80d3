//! Network interfaces, as users name them and as the system numbers them.

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use super::HostAddresses;

/// One of this host's network interfaces: where a multicast group is joined,
/// or what is sent to groups goes out.
///
/// # Platform notes
/// Linux knows all of these. Names are known on Unix alone. For IPv4, most
/// others take an address for sending, and some for joining, too; what they do
/// not take is an error where it is used.
///
/// # Examples
/// ```
/// use socketserver::Interface;
/// use std::net::Ipv4Addr;
///
/// assert_eq!(Interface::Name("eth0".to_owned()).to_string(), "interface \"eth0\"");
/// assert_eq!(Interface::Address(Ipv4Addr::LOCALHOST).to_string(), "the interface of 127.0.0.1");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
#[doc(alias = "if_nametoindex")]
pub enum Interface {
    /// Whichever the system chooses, by its routes. The default.
    #[default]
    Any,
    /// Each that carries groups: where a group is joined, and not where something
    /// is sent, which leaves by one. It is joined on those that are there; with
    /// [`follow_interfaces`](crate::Builder::follow_interfaces) also on those that
    /// come later. Unix alone tells which there are.
    All,
    /// The one with this number, from 1 on, as `ip link` shows it.
    Index(u32),
    /// The one of this name: `"lo"`, `"eth0"`.
    Name(String),
    /// The one that has this address. For IPv4 groups alone.
    Address(Ipv4Addr),
}

impl fmt::Display for Interface {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("any interface"),
            Self::All => f.write_str("all interfaces"),
            Self::Index(index) => write!(f, "interface {index}"),
            Self::Name(name) => write!(f, "interface {name:?}"),
            Self::Address(ip) => write!(f, "the interface of {ip}"),
        }
    }
}

/// An interface in the terms of the system's calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Resolved {
    /// By number; 0 leaves the choice to the system.
    Index(u32),
    Address(Ipv4Addr),
}

impl Interface {
    /// Why there is no such interface, in words.
    pub(crate) fn check(&self) -> Result<(), String> {
        let exists = match self {
            Self::Any => true,
            Self::All => {
                return carrying_groups()
                    .map(drop)
                    .map_err(|error| error.to_string());
            }
            Self::Index(index) => has_index(*index),
            Self::Name(name) => match index_of(name) {
                Err(error) if error.kind() == io::ErrorKind::Unsupported => {
                    return Err(error.to_string());
                }
                found => found.is_ok(),
            },
            // If the system does not tell, the call that uses it will.
            Self::Address(ip) => {
                HostAddresses::list().map_or(true, |own| own.contains(SocketAddr::from((*ip, 0))))
            }
        };
        match self {
            _ if exists => Ok(()),
            Self::Address(ip) => Err(format!("no interface has the address {ip}")),
            Self::Any | Self::All | Self::Index(_) | Self::Name(_) => {
                Err(format!("there is no {self}"))
            }
        }
    }

    /// Why nothing can be sent by it, in words.
    pub(crate) fn check_one(&self) -> Result<(), String> {
        match self {
            Self::All => Err("what is sent leaves by one interface".to_owned()),
            _ => self.check(),
        }
    }

    /// The numbers of the interfaces that it stands for and that are there now; 0
    /// where the system chooses.
    pub(crate) fn numbers(&self) -> Vec<u32> {
        match self {
            Self::Any => vec![0],
            Self::All => carrying_groups().unwrap_or_default(),
            Self::Index(index) => has_index(*index).then_some(*index).into_iter().collect(),
            Self::Name(name) => index_of(name).into_iter().collect(),
            Self::Address(ip) => index_with(*ip).into_iter().collect(),
        }
    }

    pub(super) fn resolve(&self) -> io::Result<Resolved> {
        match self {
            Self::Any | Self::All => Ok(Resolved::Index(0)),
            Self::Index(index) => Ok(Resolved::Index(*index)),
            Self::Name(name) => index_of(name).map(Resolved::Index),
            Self::Address(ip) => Ok(Resolved::Address(*ip)),
        }
    }
}

#[cfg(unix)]
fn index_of(name: &str) -> io::Result<u32> {
    Ok(nix::net::if_::if_nametoindex(name)?)
}

#[cfg(unix)]
fn has_index(index: u32) -> bool {
    // `nix` 0.32 takes the null pointer of a failure for success: an empty name.
    nix::net::if_::if_indextoname(index).is_ok_and(|name| !name.is_empty())
}

/// The number of the interface that has this address.
#[cfg(unix)]
fn index_with(ip: Ipv4Addr) -> Option<u32> {
    let has_it = |entry: &nix::ifaddrs::InterfaceAddress| {
        let address = entry.address.as_ref()?.as_sockaddr_in()?;
        (address.ip() == ip).then_some(())
    };
    let mut entries = nix::ifaddrs::getifaddrs().ok()?;
    let found = entries.find(|entry| has_it(entry).is_some())?;
    index_of(&found.interface_name).ok()
}

/// The numbers of the interfaces that carry groups, in order. One that is down keeps
/// what is joined there.
#[cfg(unix)]
fn carrying_groups() -> io::Result<Vec<u32>> {
    use nix::net::if_::InterfaceFlags;

    let carries = |flags: InterfaceFlags| flags.contains(InterfaceFlags::IFF_MULTICAST);
    let entries = nix::ifaddrs::getifaddrs()?.filter(|entry| carries(entry.flags));
    let mut numbers: Vec<u32> = entries
        .filter_map(|entry| index_of(&entry.interface_name).ok())
        .collect();
    numbers.sort_unstable();
    numbers.dedup();
    Ok(numbers)
}

/// Not to be known portably.
#[cfg(not(unix))]
fn carrying_groups() -> io::Result<Vec<u32>> {
    Err(io::Error::new(
        io::ErrorKind::Unsupported,
        "this platform does not tell which interfaces there are: say one",
    ))
}

/// Not to be known portably.
#[cfg(not(unix))]
fn index_with(_ip: Ipv4Addr) -> Option<u32> {
    None
}

#[cfg(not(unix))]
fn index_of(_name: &str) -> io::Result<u32> {
    Err(io::Error::new(
        io::ErrorKind::Unsupported,
        "interfaces have no names on this platform: say its index",
    ))
}

/// Not to be known portably: the call that uses it will tell.
#[cfg(not(unix))]
fn has_index(index: u32) -> bool {
    index > 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_exist_is_said_in_words() {
        let problem = |interface: Interface| interface.check().unwrap_err();
        assert_eq!(problem(Interface::Index(0)), "there is no interface 0");
        let ip = Ipv4Addr::new(192, 0, 2, 1);
        assert_eq!(
            problem(Interface::Address(ip)),
            "no interface has the address 192.0.2.1"
        );
        #[cfg(unix)]
        for name in ["no-such-interface", "zero\0byte", ""] {
            let interface = Interface::Name(name.to_owned());
            assert_eq!(
                problem(interface),
                format!("there is no interface {name:?}")
            );
        }
    }

    #[cfg(unix)]
    #[test]
    fn an_interface_is_known_by_its_number() {
        let loopback = ["lo", "lo0"].into_iter().find_map(|name| {
            let index = index_of(name).ok()?;
            Some((name, index))
        });
        let (name, index) = loopback.expect("a loopback interface");
        assert_eq!(Interface::Index(index).check(), Ok(()));
        let named = Interface::Name(name.to_owned());
        assert_eq!(named.check(), Ok(()));
        assert_eq!(named.resolve().ok(), Some(Resolved::Index(index)));
    }
}
