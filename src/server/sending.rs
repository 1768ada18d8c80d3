//! How all that a server sends leaves.

use std::io;
use std::net::UdpSocket;

use crate::engine::SendDefaults;
use crate::error::ConfigError;
use crate::socket_handle::MOST_DSCP;
use crate::sys::{self, Detail, Interface};

/// Values of the options; what was not said stays as the system or the socket has it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sending {
    pub(crate) dscp: Option<u8>,
    pub(crate) hop_limit: Option<u8>,
    pub(crate) dont_fragment: bool,
    pub(crate) unicast_interface: Option<Interface>,
    pub(crate) by_interface: bool,
}

impl Sending {
    /// Refuses what makes no sense on any socket.
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        if let Some(dscp) = self.dscp.filter(|dscp| *dscp > MOST_DSCP) {
            let problem = format!("{dscp} is not between 0 and {MOST_DSCP}");
            return Err(ConfigError::new("dscp", problem));
        }
        if self.hop_limit == Some(0) {
            return Err(ConfigError::new(
                "hop_limit",
                "0 lets nothing leave this host",
            ));
        }
        let Some(interface) = &self.unicast_interface else {
            return Ok(());
        };
        let option = "unicast_interface";
        if matches!(interface, Interface::Address(_)) {
            let problem = format!("{interface}: it is told by its index or name");
            return Err(ConfigError::new(option, problem));
        }
        let exists = interface.check_one();
        exists.map_err(|problem| ConfigError::new(option, problem))
    }

    /// Sets what was said. Every socket of a server needs it.
    pub(crate) fn set_up(&self, socket: &UdpSocket) -> Result<(), ConfigError> {
        if let Some(dscp) = self.dscp {
            sys::set_dscp(socket, dscp).map_err(refused("dscp"))?;
        }
        if let Some(hops) = self.hop_limit {
            sys::set_hop_limit(socket, hops).map_err(refused("hop_limit"))?;
        }
        if self.dont_fragment {
            sys::forbid_fragments(socket).map_err(refused("dont_fragment"))?;
        }
        if let Some(interface) = &self.unicast_interface {
            let set = sys::set_unicast_interface(socket, interface);
            set.map_err(refused("unicast_interface"))?;
        }
        if self.by_interface {
            let told = sys::ask_for(socket, Detail::Interface);
            told.map_err(refused("reply_by_interface"))?;
        }
        Ok(())
    }

    /// What has to be known where datagrams leave.
    pub(crate) fn defaults(&self) -> SendDefaults {
        SendDefaults {
            by_interface: self.by_interface,
            dscp: self.dscp.unwrap_or(0),
            dont_fragment: self.dont_fragment,
        }
    }
}

/// Names the option that the system does not take.
pub(super) fn refused(option: &'static str) -> impl Fn(io::Error) -> ConfigError {
    move |error| ConfigError::new(option, format!("the system refuses: {error}"))
}
