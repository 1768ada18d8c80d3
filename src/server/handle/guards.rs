//! Guards that change while a server serves.

use std::sync::Arc;

use super::ServerHandle;
use crate::error::ChangeError;
use crate::guard::RateLimit;
use crate::server::admission::{Guards, allowed, check_rate, denied};

/// Each change holds for all datagrams that are judged after the call has
/// returned; those in a handler by then are handled. Workers that judge meanwhile
/// go by what was there before, or after, and wait for nobody. Changes can be made
/// from `bind` on, until the server is closed.
impl ServerHandle {
    /// Serves these networks only from now on, in place of those that
    /// [`allow_networks`](crate::Builder::allow_networks) or an earlier call named.
    /// `["0.0.0.0/0", "::/0"]` serves all again.
    ///
    /// # Errors
    /// [`ChangeError::Config`] for an empty list, and for a text that is no network: then
    /// all stays as it was. [`ChangeError::Closed`] once the server is closed.
    ///
    /// # Examples
    /// ```
    /// # use socketserver::ThreadingUdpServer;
    /// let server = ThreadingUdpServer::bind_fn("127.0.0.1:0", |_, _, _| Ok(()))?.spawn();
    /// server.set_allowed_networks(["10.0.0.0/8", "fd00::/8"])?;
    /// # Ok::<(), socketserver::Error>(())
    /// ```
    pub fn set_allowed_networks<I>(&self, networks: I) -> Result<(), ChangeError>
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        let networks = allowed(&texts(networks))?;
        self.guards()?
            .change_access(|access| access.allow = Some(networks));
        Ok(())
    }

    /// Refuses these networks from now on, in place of those that
    /// [`deny_networks`](crate::Builder::deny_networks) or an earlier call named;
    /// none, if the list is empty.
    ///
    /// # Errors
    /// [`ChangeError::Config`] for a text that is no network: then all stays as it was.
    /// [`ChangeError::Closed`] once the server is closed.
    ///
    /// # Examples
    /// ```
    /// # use socketserver::ThreadingUdpServer;
    /// let server = ThreadingUdpServer::bind_fn("127.0.0.1:0", |_, _, _| Ok(()))?.spawn();
    /// let mut denied = vec!["192.0.2.0/24".to_owned()];
    /// server.set_denied_networks(&denied)?;
    /// denied.push("198.51.100.7".to_owned());
    /// server.set_denied_networks(&denied)?;
    /// # Ok::<(), socketserver::Error>(())
    /// ```
    pub fn set_denied_networks<I>(&self, networks: I) -> Result<(), ChangeError>
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        let networks = denied(&texts(networks))?;
        self.guards()?
            .change_access(|access| access.deny = networks);
        Ok(())
    }

    /// Limits what each source may send from now on, in place of what
    /// [`rate_limit`](crate::Builder::rate_limit) or an earlier call said; with
    /// `None`, no longer.
    ///
    /// What sources have used up is not forgotten, though none has more to earn
    /// back than a burst of the new limit. With another
    /// [`table_entries`](RateLimit::table_entries),
    /// [`ipv4_prefix`](RateLimit::ipv4_prefix) or
    /// [`ipv6_prefix`](RateLimit::ipv6_prefix), and after no limit, all begin anew.
    ///
    /// # Errors
    /// [`ChangeError::Config`] for a limit that makes no sense, and if there is no memory
    /// for its table: then all stays as it was. [`ChangeError::Closed`] once the server
    /// is closed.
    ///
    /// # Examples
    /// ```
    /// # use socketserver::ThreadingUdpServer;
    /// use socketserver::RateLimit;
    ///
    /// let server = ThreadingUdpServer::bind_fn("127.0.0.1:0", |_, _, _| Ok(()))?.spawn();
    /// server.set_rate_limit(RateLimit::per_second(100).trust(["10.0.0.7"]))?;
    /// server.set_rate_limit(None)?;
    /// # Ok::<(), socketserver::Error>(())
    /// ```
    pub fn set_rate_limit(&self, limit: impl Into<Option<RateLimit>>) -> Result<(), ChangeError> {
        let limit = limit.into();
        if let Some(limit) = &limit {
            check_rate(limit)?;
        }
        Ok(self.guards()?.change_rate(limit)?)
    }

    /// The guards, until the server is closed.
    fn guards(&self) -> Result<Arc<Guards>, ChangeError> {
        let guards = self.reach.guards.upgrade().ok_or(ChangeError::Closed)?;
        match self.engine.socket().is_closed() {
            true => Err(ChangeError::Closed),
            false => Ok(guards),
        }
    }
}

fn texts<I>(networks: I) -> Vec<String>
where
    I: IntoIterator,
    I::Item: Into<String>,
{
    networks.into_iter().map(Into::into).collect()
}
