//! What the kernel is asked to tell of each datagram for handlers.

use std::net::UdpSocket;

use super::sending::refused;
use crate::error::ConfigError;
use crate::sys::{self, Detail};

/// Values of the options. What is not asked for costs nothing.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Details {
    pub(crate) time: bool,
    pub(crate) interface: bool,
    pub(crate) hop_limit: bool,
    pub(crate) traffic_class: bool,
}

impl Details {
    /// Asks the kernel. Every socket of a server needs it.
    pub(crate) fn set_up(self, socket: &UdpSocket) -> Result<(), ConfigError> {
        for (is_asked, option, detail) in [
            (self.time, "receive_time", Detail::Time),
            (self.interface, "receive_interface", Detail::Interface),
            (self.hop_limit, "receive_hop_limit", Detail::HopLimit),
            (
                self.traffic_class,
                "receive_traffic_class",
                Detail::TrafficClass,
            ),
        ] {
            if is_asked {
                sys::ask_for(socket, detail).map_err(refused(option))?;
            }
        }
        Ok(())
    }
}
