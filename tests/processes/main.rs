//! Servers with processes. Each case runs in a process of its own that has one thread,
//! which the server needs: this program, started once more with the case's name. Its
//! client is a child that the case forks, and that the server must leave alone.
//!
//! An argument selects cases by a part of their names.

/// The cases of a module, each named as its function.
#[cfg(all(target_os = "linux", not(socketserver_portable)))]
macro_rules! cases {
    ($($case:ident),+ $(,)?) => {
        pub(crate) const ALL: &[crate::trial::Case] =
            &[$((stringify!($case), $case as fn())),+];
    };
}

#[cfg(all(target_os = "linux", not(socketserver_portable)))]
mod client;
#[cfg(all(target_os = "linux", not(socketserver_portable)))]
mod deaths;
#[cfg(all(target_os = "linux", not(socketserver_portable)))]
mod serving;
#[cfg(all(target_os = "linux", not(socketserver_portable)))]
mod trial;

#[cfg(all(target_os = "linux", not(socketserver_portable)))]
fn main() -> std::process::ExitCode {
    trial::run(&[deaths::ALL, serving::ALL].concat())
}

#[cfg(not(all(target_os = "linux", not(socketserver_portable))))]
fn main() {
    let builder = socketserver::ForkingStyleUdpServer::builder();
    let builder = builder.isolation(socketserver::Isolation::Process);
    let refused = builder.bind_fn("127.0.0.1:0", |_, _, _| Ok(()));
    let error = refused
        .expect_err("there are no such processes")
        .to_string();
    assert!(error.starts_with("isolation: "), "{error}");
}
