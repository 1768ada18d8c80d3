//! What criterion is told to measure.

use std::net::SocketAddr;
use std::time::Duration;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, SamplingMode, Throughput};
use load_generator::{Expect, Plan, Wish};

use crate::details::{DETAILS, told};
use crate::guards::GUARDS;
use crate::handler::{KINDS, Kind, SERVERS, guarded};

/// Every server with every kind of handler, size and number of workers.
pub(crate) fn all(criterion: &mut Criterion) {
    for kind in &KINDS {
        for size in SIZES {
            group(criterion, kind, size);
        }
    }
    guards(criterion, &KINDS[CHEAP], SIZES[SHORT]);
    details(criterion, &KINDS[CHEAP], SIZES[SHORT]);
}

fn group(criterion: &mut Criterion, kind: &Kind, size: usize) {
    let mut group = criterion.benchmark_group(format!("{}, {size} bytes", kind.name));
    configure(&mut group);
    for (server, start) in SERVERS {
        for workers in kind.workers {
            let id = BenchmarkId::new(server, workers);
            group.bench_function(id, |bencher| {
                let server = start(workers, kind.work);
                let plan = plan(server.local_addr(), kind, size);
                bencher.iter_custom(|datagrams| time_of(&plan, datagrams));
            });
        }
    }
    group.finish();
}

/// The quickest handler, behind each guard and behind all.
fn guards(criterion: &mut Criterion, kind: &Kind, size: usize) {
    let mut group = criterion.benchmark_group("guards");
    configure(&mut group);
    for (guard, guards) in GUARDS {
        group.bench_function(guard, |bencher| {
            let server = guarded(kind.workers[FEWEST], kind.work, guards);
            let plan = plan(server.local_addr(), kind, size);
            bencher.iter_custom(|datagrams| time_of(&plan, datagrams));
        });
    }
    group.finish();
}

/// The quickest handler, with each thing it may be told, and with all.
fn details(criterion: &mut Criterion, kind: &Kind, size: usize) {
    let mut group = criterion.benchmark_group("details");
    configure(&mut group);
    for details in &DETAILS {
        group.bench_function(details.0, |bencher| {
            let server = told(kind.workers[FEWEST], details);
            let here = SocketAddr::from(([127, 0, 0, 1], server.local_addr().port()));
            let plan = plan(here, kind, size);
            bencher.iter_custom(|datagrams| time_of(&plan, datagrams));
        });
    }
    group.finish();
}

fn configure(group: &mut BenchmarkGroup<'_, WallTime>) {
    group
        .throughput(Throughput::Elements(1))
        .sampling_mode(SamplingMode::Flat)
        .sample_size(SAMPLES)
        .warm_up_time(RUN)
        .measurement_time(2 * RUN * SAMPLES as u32)
        .nresamples(1_000);
}

/// How long so many datagrams take, by the rate at which they are answered in a
/// load of fixed length: so every measurement takes the same time, however slow
/// the handler is.
fn time_of(plan: &Plan, datagrams: u64) -> Duration {
    let tally = load_generator::run(plan, &mut |_| Wish::GoOn).expect("sockets for the load");
    assert_eq!(tally.wrong + tally.duplicates, 0, "only proper replies");
    assert_eq!(tally.lost, 0, "all datagrams answered");
    Duration::from_secs_f64(datagrams as f64 / tally.rate())
}

fn plan(server: SocketAddr, kind: &Kind, size: usize) -> Plan {
    Plan {
        server,
        peers: CLIENTS,
        window: 1,
        rate: None,
        size,
        slow_share: kind.slow_share,
        duration: RUN,
        timeout: Duration::from_secs(10),
        expect: Expect::Upper,
    }
}

/// Where guards cost most: of the kinds, the sizes and the numbers of workers.
const CHEAP: usize = 0;
const SHORT: usize = 0;
const FEWEST: usize = 0;
const CLIENTS: usize = 64;
/// Of a datagram, in bytes: a short one, and one that about fills an Ethernet frame.
const SIZES: [usize; 2] = [64, 1_200];
/// Of one load. Several times what the slowest handler takes.
const RUN: Duration = Duration::from_millis(250);
/// As few as criterion allows.
const SAMPLES: usize = 10;
