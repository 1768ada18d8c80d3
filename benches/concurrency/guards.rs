//! What guards cost: the same server with none, with each and with all.

use socketserver::{AmplificationLimit, Builder, RateLimit, ReplyLoops, ThreadingUdpServer};

type Threading = Builder<ThreadingUdpServer>;

/// A name, and what is asked for.
pub(crate) type Guards = (&'static str, fn(Threading) -> Threading);

/// All of them. None refuses or withholds anything of this load.
pub(crate) const GUARDS: [Guards; 7] = [
    ("none", |builder| builder),
    ("refuse_responder_ports", ports),
    ("deny_networks", networks),
    ("break_reply_loops", loops),
    ("rate_limit", rate),
    ("amplification_limit", amplification),
    ("all", all),
];

/// Every guard there is.
pub(crate) fn all(builder: Threading) -> Threading {
    amplification(rate(loops(networks(ports(builder)))))
}

fn ports(builder: Threading) -> Threading {
    builder.refuse_responder_ports(true)
}

fn networks(builder: Threading) -> Threading {
    builder.deny_networks(["192.0.2.0/24", "2001:db8::/32"])
}

fn loops(builder: Threading) -> Threading {
    builder.break_reply_loops(ReplyLoops::new())
}

fn rate(builder: Threading) -> Threading {
    builder.rate_limit(RateLimit::per_second(1_000_000))
}

fn amplification(builder: Threading) -> Threading {
    builder.amplification_limit(AmplificationLimit::new())
}
