//! A server in a process of its own: its port, what it uses, its end.

use std::error::Error;
use std::io::{self, BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::time::clock_getcpuclockid;
use nix::unistd::Pid;
use procfs::process::Process;

/// A server process; dropping it ends it.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    /// Where it listens.
    pub(crate) addr: SocketAddr,
}

/// What a process has used and done.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Usage {
    /// CPU time of all threads, also of those that have ended, and of children, to
    /// the nanosecond; and of children that have ended, to the clock tick.
    pub(crate) cpu: Duration,
    /// How many threads there are.
    pub(crate) threads: usize,
    /// How often the threads that there are have been woken: each had given up
    /// its processor to wait.
    pub(crate) wake_ups: u64,
}

impl Server {
    /// Starts it, and waits until it says where it listens.
    pub(crate) fn start(mut command: Command) -> io::Result<Self> {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let stdout = child.stdout.take();
        let addr = (Ipv4Addr::LOCALHOST, 0).into();
        let mut server = Self { child, addr };
        let mut line = String::new();
        BufReader::new(stdout.ok_or(io::ErrorKind::BrokenPipe)?).read_line(&mut line)?;
        let port = line.trim().parse();
        let port = port.map_err(|_| io::Error::other("it did not start"))?;
        server.addr.set_port(port);
        Ok(server)
    }

    /// Since it began.
    pub(crate) fn usage(&self) -> Result<Usage, Box<dyn Error>> {
        let id = self.child.id() as i32;
        let process = Process::new(id)?;
        let (mut threads, mut wake_ups) = (0, 0);
        for task in process.tasks()? {
            // A thread may end meanwhile.
            if let Ok(status) = task.and_then(|task| task.status()) {
                threads += 1;
                wake_ups += status.voluntary_ctxt_switches.unwrap_or(0);
            }
        }
        let stat = process.stat()?;
        let children = (stat.cutime + stat.cstime) as f64 / procfs::ticks_per_second() as f64;
        let own = clock_getcpuclockid(Pid::from_raw(id))?.now()?;
        let mut cpu = Duration::from(own) + Duration::from_secs_f64(children);
        for child in process.task_main_thread()?.children()? {
            // A child may end meanwhile.
            let clock = clock_getcpuclockid(Pid::from_raw(child as i32));
            let used = clock.and_then(|clock| clock.now());
            cpu += used.map_or(Duration::ZERO, Duration::from);
        }
        Ok(Usage {
            cpu,
            threads,
            wake_ups,
        })
    }
}

impl Usage {
    /// What has been used since `before`; threads are those of now.
    pub(crate) fn since(self, before: Self) -> Self {
        Self {
            cpu: self.cpu.saturating_sub(before.cpu),
            threads: self.threads,
            wake_ups: self.wake_ups.saturating_sub(before.wake_ups),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
