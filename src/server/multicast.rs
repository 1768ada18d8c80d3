//! Sending to many and hearing what was sent to many: what is asked of the
//! socket, checked, set, joined and left.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};

use crate::error::Error;
use crate::sys::{self, Interface, Socket};

/// Values of the options; what was not said stays as the system or the socket has it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Multicast {
    /// Joined at `bind`, in this order.
    pub(crate) groups: Vec<(IpAddr, Interface)>,
    pub(crate) ttl: Option<u32>,
    pub(crate) loopback: Option<bool>,
    pub(crate) interface: Option<Interface>,
    pub(crate) broadcast: Option<bool>,
}

impl Multicast {
    /// Refuses what makes no sense on any socket.
    pub(crate) fn check(&self) -> Result<(), Error> {
        if let Some(ttl) = self.ttl.filter(|ttl| *ttl > MOST_HOPS) {
            let problem = format!("{ttl} is not between 0 and {MOST_HOPS}");
            return Err(Error::config("multicast_ttl", problem));
        }
        for (group, interface) in &self.groups {
            check_membership(JOIN, *group, interface)?;
        }
        match &self.interface {
            Some(interface) => interface
                .check()
                .map_err(|problem| Error::config("multicast_interface", problem)),
            None => Ok(()),
        }
    }

    /// Sets what concerns sending. Every socket of a server needs it.
    pub(crate) fn set_up(&self, socket: &UdpSocket) -> Result<(), Error> {
        let refused = |option| {
            move |error: io::Error| Error::config(option, format!("the system refuses: {error}"))
        };
        if let Some(ttl) = self.ttl {
            sys::set_multicast_ttl(socket, ttl).map_err(refused("multicast_ttl"))?;
        }
        if let Some(on) = self.loopback {
            sys::set_multicast_loop(socket, on).map_err(refused("multicast_loop"))?;
        }
        if let Some(interface) = &self.interface {
            let option = "multicast_interface";
            let reaches_v4 = sys::reaches_v4(socket).map_err(|cause| Error::TakeOver { cause })?;
            if matches!(interface, Interface::Address(_)) && !reaches_v4 {
                let problem = format!(
                    "{interface}: for IPv6 alone, an interface is told by its index or name"
                );
                return Err(Error::config(option, problem));
            }
            sys::set_multicast_interface(socket, interface).map_err(refused(option))?;
        }
        if let Some(allow) = self.broadcast {
            sys::set_broadcast(socket, allow).map_err(refused("allow_broadcast"))?;
        }
        Ok(())
    }

    /// Joins the groups. One socket of a server does, and no more: each that
    /// joined is given a copy of what is sent to the group.
    pub(crate) fn join_all(&self, socket: &UdpSocket) -> Result<(), Error> {
        if self.groups.is_empty() {
            return Ok(());
        }
        let taken_over = |cause| Error::TakeOver { cause };
        let local = socket.local_addr().map_err(taken_over)?;
        let reaches_v4 = sys::reaches_v4(socket).map_err(taken_over)?;
        for (group, interface) in &self.groups {
            check_hearing(*group, local, reaches_v4)?;
            sys::join_group(socket, *group, interface)
                .map_err(|cause| refused(JOIN, *group, interface, cause))?;
        }
        Ok(())
    }
}

/// Joins a group while the server serves.
pub(super) fn join(socket: &Socket, group: IpAddr, interface: &Interface) -> Result<(), Error> {
    check_membership(JOIN, group, interface)?;
    check_hearing(group, socket.local_addr(), socket.reaches_v4())?;
    sys::join_group(socket, group, interface)
        .map_err(|cause| refused(JOIN, group, interface, cause))
}

/// Leaves a group that was joined on that interface.
pub(super) fn leave(socket: &Socket, group: IpAddr, interface: &Interface) -> Result<(), Error> {
    check_membership(LEAVE, group, interface)?;
    sys::leave_group(socket, group, interface)
        .map_err(|cause| refused(LEAVE, group, interface, cause))
}

/// What is done, and the method that does it.
#[derive(Debug, Clone, Copy)]
struct Action {
    verb: &'static str,
    method: &'static str,
}

const JOIN: Action = Action {
    verb: "join",
    method: "join_multicast",
};
const LEAVE: Action = Action {
    verb: "leave",
    method: "leave_multicast",
};

/// Refuses what is no group, and interfaces that do not exist.
fn check_membership(action: Action, group: IpAddr, interface: &Interface) -> Result<(), Error> {
    let problem = if !group.is_multicast() {
        format!("{group} is not a multicast address")
    } else if group.is_ipv6() && matches!(interface, Interface::Address(_)) {
        format!("{group}: an IPv6 group is joined on an interface by its index or name")
    } else {
        match interface.check() {
            Ok(()) => return Ok(()),
            Err(problem) => format!("{group}: {problem}"),
        }
    };
    Err(Error::config(action.method, problem))
}

/// Refuses groups whose datagrams would never reach a socket bound to `local`.
fn check_hearing(group: IpAddr, local: SocketAddr, reaches_v4: bool) -> Result<(), Error> {
    let problem = match group {
        IpAddr::V4(_) if !reaches_v4 => {
            format!("{group}: the socket, bound to {local}, is for IPv6 alone")
        }
        IpAddr::V6(_) if local.ip().to_canonical().is_ipv4() => {
            format!("{group}: the socket, bound to {local}, is for IPv4")
        }
        _ if !sys::hears_group(local, group) => format!(
            "{group}: a socket bound to {local} hears no group: bind to a wildcard, or to the group"
        ),
        _ => return Ok(()),
    };
    Err(Error::config(JOIN.method, problem))
}

fn refused(action: Action, group: IpAddr, on: &Interface, cause: io::Error) -> Error {
    Error::Membership {
        action: action.verb,
        group,
        interface: on.clone(),
        cause,
    }
}

/// The field has 8 bits (RFC 791, RFC 8200).
const MOST_HOPS: u32 = 255;
