//! Answers each datagram after a wait, of which thousands go on at the same time:
//! handlers that await on tokio.
//!
//! Two terminals:
//! ```text
//! cargo run --release --example async_echo
//! nc -u 127.0.0.1 8080
//! ```

use std::error::Error;
use std::time::Duration;

use clap::Parser;
use socketserver::ThreadingUdpServer;
use tokio::runtime::Runtime;
use tokio::time::{sleep, timeout};

/// A UDP server that answers every datagram with its text in upper case, after a
/// wait that keeps no thread.
#[derive(Debug, Parser)]
#[command(version)]
struct Options {
    /// The address to serve on; port 0 takes any free port
    #[arg(default_value = "127.0.0.1:8080")]
    addr: String,
    /// How long each answer waits
    #[arg(long, value_name = "MS", default_value_t = 100)]
    wait: u64,
}

/// The longest that a task may take.
const TIME_LIMIT: Duration = Duration::from_secs(5);

fn main() -> Result<(), Box<dyn Error>> {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("info")).init();
    let options = Options::parse();
    let wait = Duration::from_millis(options.wait);
    let runtime = Runtime::new()?;
    let tasks = runtime.handle().clone();
    let server = ThreadingUdpServer::bind_fn(&*options.addr, move |bytes, _, socket| {
        let (answer, text) = (socket.defer()?, bytes.to_ascii_uppercase());
        tasks.spawn(async move {
            match timeout(TIME_LIMIT, sleep(wait)).await {
                // The server was stopped, and its deadline has passed.
                Ok(()) => answer
                    .reply(&text)
                    .unwrap_or_else(|error| log::info!("{error}")),
                Err(error) => answer.fail(error),
            }
        });
        Ok(())
    })?;
    println!("listening on {}", server.local_addr());
    let handle = server.handle();
    ctrlc::set_handler(move || handle.shutdown())?;
    let report = server.serve_forever()?;
    println!("{}", report.stats.table());
    Ok(())
}
