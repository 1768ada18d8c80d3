//! What this process is told: by signals, and by its terminal or pipe.

use std::io::{self, BufRead};
use std::sync::mpsc::{self, Receiver};
use std::thread;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// Start a successor, and end once that serves.
    HandOver,
    /// End.
    End,
}

/// Orders as they come.
pub(crate) struct Orders(Receiver<Order>);

impl Orders {
    /// Listens for SIGHUP and `next`, which hand over, and for Ctrl-C and
    /// SIGTERM, which end.
    pub(crate) fn listen() -> io::Result<Self> {
        let (signalled, orders) = mpsc::channel();
        let typed = signalled.clone();
        let mut signals = Signals::new([SIGHUP, SIGINT, SIGTERM])?;
        thread::spawn(move || {
            for signal in signals.forever() {
                let order = match signal {
                    SIGHUP => Order::HandOver,
                    _ => Order::End,
                };
                if signalled.send(order).is_err() {
                    return;
                }
            }
        });
        thread::spawn(move || {
            // Its end means nothing: a successor has none to begin with.
            for line in io::stdin().lock().lines().map_while(Result::ok) {
                if line.trim() != "next" {
                    crate::tell(io::stderr(), "`next` hands over");
                } else if typed.send(Order::HandOver).is_err() {
                    return;
                }
            }
        });
        Ok(Self(orders))
    }

    /// Waits for the next order.
    pub(crate) fn next(&self) -> Order {
        // The thread that hears signals is there as long as this is.
        self.0.recv().unwrap_or(Order::End)
    }
}
