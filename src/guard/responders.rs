//! Ports of services that answer whatever they are sent.

/// Whether a datagram from this port is likely the answer, or the bait, of a
/// service that answers anything.
///
/// Made to talk to each other by one forged datagram, two such services go on
/// for ever (CERT VU#417980, CVE-2024-2169); and the large answers that
/// reflectors send to a forged address come from these ports (CISA TA14-017A).
pub(crate) fn is_responder_port(port: u16) -> bool {
    matches!(
        port,
        7 // echo
            | 11 // systat
            | 13 // daytime
            | 17 // quote of the day
            | 19 // chargen
            | 37 // time
            | 53 // DNS
            | 69 // TFTP
            | 111 // portmap
            | 123 // NTP
            | 137 // NetBIOS names
            | 161 // SNMP
            | 389 // CLDAP
            | 427 // SLP
            | 520 // RIP
            | 623 // IPMI
            | 1434 // MS SQL browser
            | 1900 // SSDP
            | 3283 // Apple Remote Desktop
            | 3702 // WS-Discovery
            | 5353 // mDNS
            | 5683 // CoAP
            | 10_001 // Ubiquiti discovery
            | 11_211 // memcached
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_that_answer_anything_are_known_by_their_ports() {
        for port in [7, 13, 17, 19, 37, 53, 69, 111, 123, 137, 161, 389, 1900] {
            assert!(is_responder_port(port), "{port}");
        }
        assert!(is_responder_port(5353) && is_responder_port(11_211));
        let known = (0..=u16::MAX).filter(|port| is_responder_port(*port));
        assert_eq!(known.count(), 24, "as many as the docs list");
    }

    #[test]
    fn ports_that_clients_get_are_not_among_them() {
        // The range that systems choose from: RFC 6335, and Linux's default.
        assert!(!(32_768..=u16::MAX).any(is_responder_port));
    }
}
