//! Sets of networks, to allow and to deny.

use std::net::{IpAddr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// Networks, sorted and merged: to look one address up takes a binary search,
/// however many there are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Networks {
    /// First and last address of each range. No two touch.
    v4: Vec<(u32, u32)>,
    v6: Vec<(u128, u128)>,
}

impl Networks {
    /// Reads networks such as `192.0.2.0/24`, `2001:db8::/32`, and plain
    /// addresses. The error names the text that is none.
    pub(crate) fn parse(texts: &[String]) -> Result<Self, String> {
        let mut networks = Self::default();
        for text in texts {
            match read(text)? {
                IpNet::V4(net) => networks
                    .v4
                    .push((net.network().into(), net.broadcast().into())),
                IpNet::V6(net) => networks
                    .v6
                    .push((net.network().into(), net.broadcast().into())),
            }
        }
        merge(&mut networks.v4, |last| last.checked_add(1));
        merge(&mut networks.v6, |last| last.checked_add(1));
        Ok(networks)
    }

    /// Whether an address is in one of them.
    pub(crate) fn contains(&self, ip: IpAddr) -> bool {
        match ip.to_canonical() {
            IpAddr::V4(v4) => covers(&self.v4, u32::from(v4)),
            IpAddr::V6(v6) => covers(&self.v6, u128::from(v6)),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.v4.is_empty() && self.v6.is_empty()
    }
}

/// Who may send at all.
#[derive(Debug, Clone, Default)]
pub(crate) struct Access {
    /// Everybody, if nothing is said.
    pub(crate) allow: Option<Networks>,
    pub(crate) deny: Networks,
}

impl Access {
    /// Whether there is anything to look up.
    pub(crate) fn is_limited(&self) -> bool {
        self.allow.is_some() || !self.deny.is_empty()
    }

    /// Whether an address may send; denying wins.
    pub(crate) fn judge(&self, ip: IpAddr) -> Admittance {
        if self.deny.contains(ip) {
            Admittance::Denied
        } else if self.allow.as_ref().is_none_or(|allow| allow.contains(ip)) {
            Admittance::Admitted
        } else {
            Admittance::NotAllowed
        }
    }
}

/// What becomes of an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Admittance {
    Admitted,
    Denied,
    NotAllowed,
}

/// Reads one network, strictly: in a list of who may do what, a slip of the
/// pen should be heard of.
fn read(text: &str) -> Result<IpNet, String> {
    if !text.contains('/') {
        let ip: IpAddr = text
            .parse()
            .map_err(|_| format!("`{text}` is neither an address nor a network"))?;
        return Ok(ip.to_canonical().into());
    }
    let net: IpNet = text
        .parse()
        .map_err(|_| format!("`{text}` is no network, such as 192.0.2.0/24 or 2001:db8::/32"))?;
    if net != net.trunc() {
        let meant = net.trunc();
        return Err(format!("`{text}` is inside the network {meant}, not one"));
    }
    Ok(canonical(net))
}

/// A network of IPv4 addresses written as IPv6 ones, as a network of IPv4.
fn canonical(net: IpNet) -> IpNet {
    match net {
        IpNet::V6(v6) => unmapped(v6).map_or(net, IpNet::V4),
        IpNet::V4(_) => net,
    }
}

fn unmapped(net: Ipv6Net) -> Option<Ipv4Net> {
    let bits = net.prefix_len().checked_sub(MAPPED_BITS)?;
    let network: Ipv6Addr = net.network();
    Ipv4Net::new(network.to_ipv4_mapped()?, bits).ok()
}

/// Sorts ranges and joins those that overlap or touch.
fn merge<T: Ord + Copy>(ranges: &mut Vec<(T, T)>, next: impl Fn(T) -> Option<T>) {
    ranges.sort_unstable();
    let mut merged: Vec<(T, T)> = Vec::with_capacity(ranges.len());
    for &(first, last) in ranges.iter() {
        match merged.last_mut() {
            // Behind the last address there is none: nothing can lie apart.
            Some(before) if next(before.1).is_none_or(|next| first <= next) => {
                before.1 = before.1.max(last);
            }
            _ => merged.push((first, last)),
        }
    }
    *ranges = merged;
}

fn covers<T: Ord + Copy>(ranges: &[(T, T)], address: T) -> bool {
    let behind = ranges.partition_point(|(first, _)| *first <= address);
    behind > 0 && address <= ranges[behind - 1].1
}

/// The bits that an IPv4 address written as IPv6 has in front (RFC 4291, 2.5.5.2).
const MAPPED_BITS: u8 = 96;

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn networks(texts: &[&str]) -> Networks {
        let texts: Vec<_> = texts.iter().map(ToString::to_string).collect();
        Networks::parse(&texts).expect("networks")
    }

    #[track_caller]
    fn contains(networks: &Networks, ip: &str) -> bool {
        networks.contains(ip.parse().expect("an address"))
    }

    #[test]
    fn an_address_is_found_in_its_network_only() {
        let some = networks(&["192.0.2.0/24", "198.51.100.7", "2001:db8::/32", "::1"]);
        for ip in ["192.0.2.0", "192.0.2.255", "198.51.100.7", "2001:db8::9"] {
            assert!(contains(&some, ip), "{ip}");
        }
        assert!(contains(&some, "::1") && contains(&some, "::ffff:192.0.2.1"));
        for ip in ["192.0.1.255", "192.0.3.0", "198.51.100.8", "2001:db9::"] {
            assert!(!contains(&some, ip), "{ip}");
        }
    }

    #[test]
    fn mapped_networks_are_ipv4_and_the_families_are_apart() {
        assert_eq!(
            networks(&["::ffff:192.0.2.0/120", "::ffff:198.51.100.7"]),
            networks(&["192.0.2.0/24", "198.51.100.7/32"])
        );
        assert!(!contains(&networks(&["::/0"]), "192.0.2.1"));
        assert!(!contains(&networks(&["0.0.0.0/0"]), "2001:db8::1"));
        let all = networks(&["0.0.0.0/0", "::/0", "10.0.0.0/8"]);
        assert!(contains(&all, "255.255.255.255") && contains(&all, "ffff::"));
        assert!(!contains(&Networks::default(), "192.0.2.1"));
    }

    #[test]
    fn neighbours_are_merged() {
        let halves = networks(&["192.0.2.128/25", "192.0.2.0/25", "192.0.2.9"]);
        assert_eq!(halves, networks(&["192.0.2.0/24"]));
    }

    #[test]
    fn what_is_no_network_is_refused_by_name() {
        let refusal = |text: &str| Networks::parse(&[text.to_owned()]).expect_err(text);
        for text in [
            "",
            "here",
            "192.0.2.0/33",
            "2001:db8::/129",
            "192.0.2.0/",
            "192.0.2.0/24/1",
            "192.0.2/24",
            "192.0.2.1:80",
            " 192.0.2.1",
            "/8",
        ] {
            assert!(refusal(text).contains(&format!("`{text}`")), "{text}");
        }
        assert_eq!(
            refusal("10.0.0.5/8"),
            "`10.0.0.5/8` is inside the network 10.0.0.0/8, not one"
        );
    }

    proptest! {
        #[test]
        fn the_search_finds_what_a_look_at_each_would(
            nets in prop::collection::vec((any::<u32>(), 1..=32_u8), 0..40),
            probes in prop::collection::vec(any::<u32>(), 0..40),
        ) {
            let nets: Vec<_> = nets
                .into_iter()
                .map(|(ip, bits)| Ipv4Net::new(ip.into(), bits).expect("bits").trunc())
                .collect();
            let texts: Vec<_> = nets.iter().map(ToString::to_string).collect();
            let networks = Networks::parse(&texts).expect("networks");
            let edges = nets.iter().flat_map(|net| {
                let (first, last) = (u32::from(net.network()), u32::from(net.broadcast()));
                [first, last, first.wrapping_sub(1), last.wrapping_add(1)]
            });
            for probe in probes.into_iter().chain(edges) {
                let ip = Ipv4Addr::from(probe);
                let expected = nets.iter().any(|net| net.contains(&ip));
                prop_assert_eq!(networks.contains(ip.into()), expected, "{}", ip);
            }
        }

        #[test]
        fn no_text_panics(text in any::<String>(), slashed in "[0-9a-f:./]{0,30}") {
            let _ = Networks::parse(&[text, slashed]);
        }
    }
}
