//! The first step of a future, for handlers that await.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

/// Polls a future once, here and now: what is ready at once needs no task. What is
/// not is returned, to be spawned on a runtime, which polls it anew.
///
/// A task costs a few microseconds: the thread of a runtime that has to be woken,
/// and a reply that leaves by itself. A handler that mostly answers from memory and
/// awaits now and then is spared that.
///
/// What the future does up to its first wait is done on the worker's thread, and may
/// block there. For tokio's timers and sockets, enter the runtime first, as in
/// the example.
///
/// # Panics
/// If the future does.
///
/// # Examples
/// ```
/// use socketserver::{ThreadingUdpServer, poll_once};
/// use std::time::Duration;
///
/// let runtime = tokio::runtime::Runtime::new().unwrap();
/// let tasks = runtime.handle().clone();
/// let server = ThreadingUdpServer::bind_fn("127.0.0.1:0", move |bytes, _, socket| {
///     let (answer, question) = (socket.defer()?, bytes.to_vec());
///     let _context = tasks.enter();
///     let task = poll_once(async move {
///         if question.starts_with(b"slow") {
///             tokio::time::sleep(Duration::from_millis(10)).await;
///         }
///         answer.reply(&question)
///     });
///     if let Some(task) = task {
///         tasks.spawn(task);
///     }
///     Ok(())
/// })?;
/// # Ok::<(), socketserver::Error>(())
/// ```
pub fn poll_once<F: Future>(future: F) -> Option<Pin<Box<F>>> {
    let mut future = Box::pin(future);
    match future
        .as_mut()
        .poll(&mut Context::from_waker(Waker::noop()))
    {
        Poll::Ready(_) => None,
        Poll::Pending => Some(future),
    }
}
