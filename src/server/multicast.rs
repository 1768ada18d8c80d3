//! Sending to many and hearing what was sent to many: what is asked of the
//! socket, checked, set, joined and left.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};

use crate::engine::SharedSocket;
use crate::error::{BindError, ChangeError, ConfigError, MembershipError};
use crate::sys::{self, Interface, Membership, Socket};

/// Values of the options; what was not said stays as the system or the socket has it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Multicast {
    /// Joined at `bind`, in this order.
    pub(crate) groups: Vec<Membership>,
    /// Groups are joined where and when their interfaces come.
    pub(crate) follow: bool,
    pub(crate) ttl: Option<u32>,
    pub(crate) loopback: Option<bool>,
    pub(crate) interface: Option<Interface>,
    pub(crate) broadcast: Option<bool>,
}

impl Multicast {
    /// Refuses what makes no sense on any socket.
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        if let Some(ttl) = self.ttl.filter(|ttl| *ttl > MOST_HOPS) {
            let problem = format!("{ttl} is not between 0 and {MOST_HOPS}");
            return Err(ConfigError::new("multicast_ttl", problem));
        }
        for membership in &self.groups {
            check_membership(JOIN, membership)?;
            if !self.follow {
                check_interface(JOIN, membership)?;
            }
        }
        match &self.interface {
            Some(interface) => interface
                .check_one()
                .map_err(|problem| ConfigError::new("multicast_interface", problem)),
            None => Ok(()),
        }
    }

    /// Sets what concerns sending. Every socket of a server needs it.
    /// `failed` says what it means that a socket itself fails.
    pub(crate) fn set_up(
        &self,
        sockets: &[UdpSocket],
        failed: impl Fn(io::Error) -> BindError,
    ) -> Result<(), BindError> {
        if let Some(interface @ Interface::Address(_)) = &self.interface {
            let mut is_for_none = true;
            for socket in sockets {
                let reaches_v4 = sys::reaches_v4(socket);
                is_for_none &= !reaches_v4.map_err(&failed)?;
            }
            if is_for_none {
                let problem = format!(
                    "{interface}: for IPv6 alone, an interface is told by its index or name"
                );
                return Err(ConfigError::new("multicast_interface", problem).into());
            }
        }
        for socket in sockets {
            self.set_up_one(socket)?;
        }
        Ok(())
    }

    fn set_up_one(&self, socket: &UdpSocket) -> Result<(), ConfigError> {
        let refused = |option| {
            move |error: io::Error| ConfigError::new(option, format!("the system refuses: {error}"))
        };
        if let Some(ttl) = self.ttl {
            sys::set_multicast_ttl(socket, ttl).map_err(refused("multicast_ttl"))?;
        }
        if let Some(on) = self.loopback {
            sys::set_multicast_loop(socket, on).map_err(refused("multicast_loop"))?;
        }
        if let Some(interface) = &self.interface {
            let set = sys::set_multicast_interface(socket, interface);
            set.map_err(refused("multicast_interface"))?;
        }
        if let Some(allow) = self.broadcast {
            sys::set_broadcast(socket, allow).map_err(refused("allow_broadcast"))?;
        }
        Ok(())
    }
}

/// Refuses what makes no sense whatever interfaces there are.
pub(super) fn check(membership: &Membership) -> Result<(), ConfigError> {
    check_membership(JOIN, membership)
}

/// Joins a group.
pub(super) fn join(sockets: &SharedSocket, membership: &Membership) -> Result<(), ChangeError> {
    check_membership(JOIN, membership)?;
    check_interface(JOIN, membership)?;
    let joined = sockets.with_all(|all| join_with(&one_of_each_address(all), membership));
    joined.unwrap_or(Err(ChangeError::Closed))
}

/// Leaves a group that was joined on that interface.
pub(super) fn leave(sockets: &SharedSocket, membership: &Membership) -> Result<(), ChangeError> {
    check_membership(LEAVE, membership)?;
    check_interface(LEAVE, membership)?;
    leave_gone(sockets, membership)
}

/// Leaves a group that was joined, also on an interface that is gone.
pub(super) fn leave_gone(
    sockets: &SharedSocket,
    membership: &Membership,
) -> Result<(), ChangeError> {
    let left = sockets.with_all(|all| leave_with(&one_of_each_address(all), membership));
    left.unwrap_or(Err(ChangeError::Closed))
}

/// The first socket of each address. Of several that share one, no other joins
/// groups: each that joined is given a copy of what is sent there.
fn one_of_each_address<'a>(sockets: impl Iterator<Item = &'a Socket>) -> Vec<&'a Socket> {
    let mut sockets: Vec<_> = sockets.collect();
    sockets.dedup_by_key(|socket| socket.local_addr());
    sockets
}

/// Joins with all sockets that can hear the group. If none can, the first says
/// why; if one is refused, none has joined.
fn join_with(sockets: &[&Socket], membership: &Membership) -> Result<(), ChangeError> {
    let hearing = hearing(sockets, membership.group);
    if hearing.is_empty() {
        let first = sockets[0];
        check_hearing(membership.group, first.local_addr(), first.reaches_v4())?;
        return Ok(());
    }
    for (count, socket) in hearing.iter().enumerate() {
        if let Err(cause) = sys::join_group(*socket, membership) {
            for joined in &hearing[..count] {
                let _ = sys::leave_group(*joined, membership);
            }
            return Err(refused(JOIN, membership, cause).into());
        }
    }
    Ok(())
}

/// Leaves with all sockets that joined.
fn leave_with(sockets: &[&Socket], membership: &Membership) -> Result<(), ChangeError> {
    let mut left = Ok(());
    for socket in hearing(sockets, membership.group) {
        let result = sys::leave_group(socket, membership);
        left = left.and(result.map_err(|cause| refused(LEAVE, membership, cause).into()));
    }
    left
}

/// Those of the sockets that can hear a group.
fn hearing<'a>(sockets: &[&'a Socket], group: IpAddr) -> Vec<&'a Socket> {
    let hears =
        |socket: &Socket| check_hearing(group, socket.local_addr(), socket.reaches_v4()).is_ok();
    let hearing = sockets.iter().copied().filter(|socket| hears(socket));
    hearing.collect()
}

/// What is done, and the methods that do it.
#[derive(Debug, Clone, Copy)]
struct Action {
    verb: &'static str,
    method: &'static str,
    with_source: &'static str,
}

const JOIN: Action = Action {
    verb: "join",
    method: "join_multicast",
    with_source: "join_multicast_from",
};
const LEAVE: Action = Action {
    verb: "leave",
    method: "leave_multicast",
    with_source: "leave_multicast_from",
};

impl Action {
    fn method_for(self, membership: &Membership) -> &'static str {
        match membership.source {
            Some(_) => self.with_source,
            None => self.method,
        }
    }
}

/// Refuses what is no group, and what no group is joined on or from.
fn check_membership(action: Action, membership: &Membership) -> Result<(), ConfigError> {
    let Membership {
        group,
        source,
        interface,
    } = membership;
    let is_source = |source: &IpAddr| {
        let is_host = !source.is_multicast() && !source.is_unspecified();
        is_host && source.is_ipv4() == group.is_ipv4()
    };
    let problem = if !group.is_multicast() {
        format!("{group} is not a multicast address")
    } else if let Some(source) = source.filter(|source| !is_source(source)) {
        format!("{source} cannot send to {group}: a source is a host of the group's family")
    } else if group.is_ipv6() && matches!(interface, Interface::Address(_)) {
        format!("{group}: an IPv6 group is joined on an interface by its index or name")
    } else {
        return Ok(());
    };
    Err(ConfigError::new(action.method_for(membership), problem))
}

/// On none of the interfaces that it stands for, as there is none.
pub(super) fn no_interface(membership: &Membership) -> ConfigError {
    let Membership {
        group, interface, ..
    } = membership;
    let problem = format!("{group}: of {interface}, none carries groups");
    ConfigError::new(JOIN.method_for(membership), problem)
}

/// As the system refuses what is joined twice.
pub(super) fn joined_before(membership: &Membership) -> MembershipError {
    refused(JOIN, membership, io::ErrorKind::AddrInUse.into())
}

/// Refuses interfaces that do not exist.
fn check_interface(action: Action, membership: &Membership) -> Result<(), ConfigError> {
    let refused = |problem| {
        let problem = format!("{}: {problem}", membership.group);
        ConfigError::new(action.method_for(membership), problem)
    };
    membership.interface.check().map_err(refused)
}

/// Refuses groups whose datagrams would never reach a socket bound to `local`.
fn check_hearing(group: IpAddr, local: SocketAddr, reaches_v4: bool) -> Result<(), ConfigError> {
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
    Err(ConfigError::new(JOIN.method, problem))
}

fn refused(action: Action, membership: &Membership, cause: io::Error) -> MembershipError {
    let Membership {
        group,
        source,
        interface,
    } = membership.clone();
    MembershipError {
        action: action.verb,
        group,
        from: source,
        interface,
        cause,
    }
}

/// The field has 8 bits (RFC 791, RFC 8200).
const MOST_HOPS: u32 = 255;
