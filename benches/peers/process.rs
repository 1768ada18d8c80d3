//! A server in a process of its own: its port, its CPU time, its end.

use std::fs;
use std::io::{self, BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::time::{ClockId, clock_getcpuclockid};
use nix::unistd::{Pid, SysconfVar, sysconf};

/// A server process; dropping it ends it.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    /// Of the CPU time of all its threads.
    clock: ClockId,
    /// Where it listens.
    pub(crate) addr: SocketAddr,
}

impl Server {
    /// Starts it, and waits until it says where it listens.
    pub(crate) fn start(mut command: Command) -> io::Result<Self> {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        let said = match child.stdout.take() {
            Some(stdout) => BufReader::new(stdout).read_line(&mut line),
            None => Ok(0),
        };
        let clock = clock_getcpuclockid(pid(&child));
        let port = said.map(|_| line.trim().parse::<u16>());
        match (port, clock) {
            (Ok(Ok(port)), Ok(clock)) => {
                let addr = (Ipv4Addr::LOCALHOST, port).into();
                Ok(Self { child, clock, addr })
            }
            _ => {
                let _ = child.kill();
                let status = child.wait()?;
                Err(io::Error::other(format!("it did not start: {status}")))
            }
        }
    }

    /// The CPU time used up to now by all its threads, also by those that have
    /// ended, to the nanosecond; and by its children that have ended, to the
    /// clock tick.
    pub(crate) fn cpu_time(&self) -> io::Result<Duration> {
        Ok(Duration::from(self.clock.now()?) + self.children()?)
    }

    fn children(&self) -> io::Result<Duration> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", pid(&self.child)))?;
        let ticks = children_ticks(&stat).ok_or_else(|| io::Error::other("an odd stat file"))?;
        let per_second = sysconf(SysconfVar::CLK_TCK)?.unwrap_or(100);
        Ok(Duration::from_secs_f64(ticks as f64 / per_second as f64))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn pid(child: &Child) -> Pid {
    Pid::from_raw(child.id() as i32)
}

/// `cutime` and `cstime`, the fields 16 and 17 of proc_pid_stat(5). The second
/// field is a name in parentheses, which may have spaces in it.
fn children_ticks(stat: &str) -> Option<u64> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_whitespace().skip(13);
    let mut next = || fields.next()?.parse::<u64>().ok();
    Some(next()? + next()?)
}

/// Which CPUs are whose when a scenario pins.
#[derive(Debug)]
pub(crate) struct Cpus {
    /// Every one that this process may run on.
    all: CpuSet,
    /// The load's and the server's.
    pair: Option<(CpuSet, CpuSet)>,
}

impl Cpus {
    /// Looks at what this process may run on.
    pub(crate) fn find() -> io::Result<Self> {
        let all = sched_getaffinity(Pid::from_raw(0))?;
        let mut usable = (0..CpuSet::count()).filter(|&cpu| all.is_set(cpu).unwrap_or(false));
        let pair = match (usable.next(), usable.next()) {
            (Some(first), Some(second)) => Some((only(first)?, only(second)?)),
            _ => None,
        };
        Ok(Self { all, pair })
    }

    /// Whether there are two of them.
    pub(crate) fn can_pin(&self) -> bool {
        self.pair.is_some()
    }

    /// Starts a server; `pinned`, it gets one CPU, and the load another one.
    pub(crate) fn start(&self, command: Command, pinned: bool) -> io::Result<Server> {
        let (load, server) = match (&self.pair, pinned) {
            (Some((load, server)), true) => (load, server),
            _ => (&self.all, &self.all),
        };
        // A child starts where its parent was.
        sched_setaffinity(Pid::from_raw(0), server)?;
        let started = Server::start(command);
        sched_setaffinity(Pid::from_raw(0), load)?;
        started
    }
}

fn only(cpu: usize) -> nix::Result<CpuSet> {
    let mut set = CpuSet::new();
    set.set(cpu)?;
    Ok(set)
}
