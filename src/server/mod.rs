//! What both servers share.
//!
//! | room | what it holds |
//! |---|---|
//! | `builder` | the options |
//! | `memberships` | the groups that were joined, and how they follow their interfaces |
//! | `multicast` | what is set, joined and left for sending to many and hearing it |
//! | `details` | what the kernel is asked to tell of each datagram |
//! | `sending` | how all that is sent leaves |
//! | `settings` | their values, defaults and limits |
//! | `isolation` | what isolates handlers from one another |
//! | `hooks` | what users may hook in, contained |
//! | `admission` | every check of a datagram before its handler |
//! | `dispatch` | one datagram: admission, handler, fate |
//! | `sockets` | opening several sockets for one server |
//! | `opening` | from settings to sockets |
//! | `core` | the life of a server: bound, serving, draining, closed |
//! | `handle` | the handle and the report |
//! | `both` | the trait that both servers implement |
//! | `running` | a server on a thread of its own |
//! | `facade` | the methods both servers have, written once |

mod admission;
mod both;
mod builder;
mod core;
mod details;
mod dispatch;
mod facade;
mod handle;
mod hooks;
mod isolation;
mod kept;
mod memberships;
mod multicast;
mod opening;
mod running;
mod sending;
mod settings;
mod sockets;

pub(crate) use self::core::Core;
pub use both::Server;
pub use builder::{Builder, Workers};
pub(crate) use builder::{Style, Threading};
pub(crate) use dispatch::Lifetime;
pub(crate) use facade::server_methods;
#[cfg(feature = "testing")]
pub(crate) use handle::Reach;
pub use handle::{RequestOutcome, ServerHandle, ShutdownReport, Timer};
pub use hooks::{FailureCause, HandlerFailure};
pub use isolation::Isolation;
#[cfg(unix)]
pub(crate) use opening::{UnixGiven, open_unix};
pub use running::RunningServer;
pub use settings::OnTruncated;
#[cfg(unix)]
pub(crate) use settings::PacketSizes;
