//! The options for processes: what isolates one datagram's handler from all others.

use std::time::Duration;

use super::{Builder, Style};
use crate::engine::ChildExit;
use crate::handler::HandlerError;
use crate::server::isolation::Isolation;

#[expect(
    private_bounds,
    reason = "a builder of anything but the two servers cannot be made"
)]
impl<S: Style> Builder<S> {
    pub(crate) fn set_isolation(&mut self, isolation: Isolation) {
        self.settings.isolation = isolation;
    }

    pub(crate) fn set_max_requests(&mut self, most: u64) {
        self.settings.max_requests = Some(most);
    }

    pub(crate) fn set_child_timeout(&mut self, timeout: Duration) {
        self.settings.child_timeout = Some(timeout);
    }

    pub(crate) fn set_on_child_start(
        &mut self,
        hook: impl Fn() -> Result<(), HandlerError> + Send + Sync + 'static,
    ) {
        let hook = move || hook().map_err(|error| error.to_string());
        self.hooks.on_child_start = Some(Box::new(hook));
    }

    pub(crate) fn set_on_child_exit(&mut self, hook: impl Fn(&ChildExit) + Send + Sync + 'static) {
        self.hooks.on_child_exit = Some(Box::new(hook));
    }
}
