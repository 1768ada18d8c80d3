//! A server in a process of its own: its port, what it uses, its end.

use std::fs;
use std::io::{self, BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::time::clock_getcpuclockid;
use nix::unistd::{Pid, SysconfVar, sysconf};

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
    /// CPU time of all threads, also of those that have ended, to the
    /// nanosecond; and of children that have ended, to the clock tick.
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
    pub(crate) fn usage(&self) -> io::Result<Usage> {
        let proc = format!("/proc/{}", self.child.id());
        let (mut threads, mut wake_ups) = (0, 0);
        for task in fs::read_dir(format!("{proc}/task"))? {
            // A thread may end meanwhile.
            if let Ok(status) = fs::read_to_string(task?.path().join("status")) {
                threads += 1;
                wake_ups += voluntary_switches(&status).unwrap_or(0);
            }
        }
        let stat = fs::read_to_string(format!("{proc}/stat"))?;
        let ticks = children_ticks(&stat).unwrap_or(0) as f64;
        let children = ticks / sysconf(SysconfVar::CLK_TCK)?.unwrap_or(100) as f64;
        let clock = clock_getcpuclockid(Pid::from_raw(self.child.id() as i32))?;
        Ok(Usage {
            cpu: Duration::from(clock.now()?) + Duration::from_secs_f64(children),
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

/// `cutime` and `cstime`, the fields 16 and 17 of proc_pid_stat(5). The second
/// field is a name in parentheses, which may have spaces in it.
fn children_ticks(stat: &str) -> Option<u64> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_whitespace().skip(13);
    let mut next = || fields.next()?.parse::<u64>().ok();
    Some(next()? + next()?)
}

/// Of a thread, from proc_pid_status(5).
fn voluntary_switches(status: &str) -> Option<u64> {
    let mut lines = status.lines();
    let count = lines.find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))?;
    count.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_read_from_where_the_kernel_puts_them() {
        let stat = "7 (a )name) S 1 7 7 0 -1 4194560 1 2 3 4 500 600 20 3 20 0 9 0 1 2 3";
        assert_eq!(children_ticks(stat), Some(23));
        let status = "Name:\tx\nvoluntary_ctxt_switches:\t42\nnonvoluntary_ctxt_switches:\t7\n";
        assert_eq!(voluntary_switches(status), Some(42));
    }
}
