//! A clock that is set while a server runs.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant, SystemTime};

use socketserver::{AmplificationLimit, RateLimit, Refusal, ReplyLoops, ThreadingUdpServer};

use crate::harness::{Case, Need, alone_under, cases, is_alone};
use crate::support::{Client, ServerBuilder};

pub(crate) fn cases() -> Vec<Case> {
    cases! {
        &[Need::Tool("cc"), Need::Tool("env")] => {
            a_clock_that_jumps_to_and_fro_by_a_day_changes_no_limit,
        }
    }
}

/// Stands before the system's own function of that name. To set the clock of the
/// machine is not for a test to do, and a time namespace has no wall clock.
const JUMPING_CLOCK: &str = r#"
#include <stdatomic.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t clock, struct timespec *time) {
    static _Atomic unsigned looks;
    int result = (int)syscall(SYS_clock_gettime, clock, time);
    if (result == 0 && clock == CLOCK_REALTIME)
        time->tv_sec += atomic_fetch_add(&looks, 1) % 2 ? 86400 : -86400;
    return result;
}
"#;

const DAY: Duration = Duration::from_secs(86_400);

fn a_clock_that_jumps_to_and_fro_by_a_day_changes_no_limit() {
    if !is_alone() {
        let preload = format!("LD_PRELOAD={}", jumping_clock().display());
        let test = "a_clock_that_jumps_to_and_fro_by_a_day_changes_no_limit";
        alone_under(test, &["env", &preload]);
        return;
    }
    let times = [(); 4].map(|()| SystemTime::now());
    let jumps = times.windows(2).filter(|pair| {
        let earlier = pair[1].duration_since(pair[0]);
        earlier.is_err() || earlier.is_ok_and(|time| time > DAY)
    });
    assert_eq!(jumps.count(), 3, "the clock does jump: {times:?}");
    let began = Instant::now();
    let server = ThreadingUdpServer::builder()
        .workers(1)
        .rate_limit(RateLimit::per_second(1).burst(100).leak(0))
        .break_reply_loops(ReplyLoops::new().exchanges(8).mute(DAY).gap(DAY))
        .amplification_limit(AmplificationLimit::new())
        .serving(|bytes, _, socket| {
            if socket.is_validated() || socket.validate(bytes) {
                return Ok(socket.reply(&[b'x'; 1_000])?);
            }
            Ok(socket.reply(socket.token().as_ref())?)
        });
    let client = Client::of(server.local_addr());
    let token = client.ask(b"token, please");
    assert_eq!(client.ask(&token).len(), 1_000, "the token is good");
    for _ in 0..8 {
        client.ask(b"again");
    }
    for _ in 0..10 {
        client.send(b"again");
    }
    server.wait_until_settled(20);
    assert_eq!(
        server.stats().refused.by(Refusal::ReplyLoop),
        10,
        "and the loop muted"
    );
    for number in 0..40_u32 {
        let len = client.ask(&number.to_be_bytes()).len();
        assert_eq!(len, 1_000, "its address stays validated");
    }
    for number in 0..200_u32 {
        client.send(&number.to_be_bytes());
    }
    server.wait_until_settled(260);
    let stats = server.stop().stats;
    let earned = began.elapsed().as_secs() + 1;
    let most = 100 + earned;
    assert!(stats.handled <= most, "more than {most}:\n{stats}");
    assert!(
        stats.refused.by(Refusal::RateLimited) >= 250 - most,
        "{stats}"
    );
}

/// Makes the library.
#[track_caller]
fn jumping_clock() -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let (source, library) = (folder.join("clock.c"), folder.join("clock.so"));
    fs::write(&source, JUMPING_CLOCK).expect("a place for it");
    let mut compiler = Command::new("cc");
    compiler.args(["-shared", "-fPIC", "-o"]);
    let output = compiler.arg(&library).arg(&source).output();
    let output = output.expect("the compiler starts");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    library
}
