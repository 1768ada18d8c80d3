use super::*;

fn applied(options: SendOptions, to: &str, defaults: SendDefaults) -> Result<Egress, String> {
    let to = SocketAddr::new(to.parse().expect("an address"), 9);
    let egress = Egress {
        interface: 7,
        ..Egress::default()
    };
    let applied = options.apply(egress, to, defaults);
    applied.map_err(|error| error.to_string())
}

const V4: &str = "192.0.2.1";
const V6: &str = "2001:db8::1";

#[test]
fn what_is_not_said_is_as_for_all() {
    let none = applied(SendOptions::new(), V4, SendDefaults::default());
    let expected = Egress {
        interface: 7,
        ..Egress::default()
    };
    assert_eq!(none, Ok(expected));
    let chosen = applied(SendOptions::new().interface(0), V4, SendDefaults::default());
    assert_eq!(chosen, Ok(Egress::default()), "left to the routes");
}

#[test]
fn a_word_on_congestion_keeps_the_servers_class() {
    let server = SendDefaults {
        dscp: 46,
        ..SendDefaults::default()
    };
    let class = |options| applied(options, V4, server).map(|egress| egress.traffic_class);
    assert_eq!(class(SendOptions::new()), Ok(None));
    let ecn = SendOptions::new().ecn(Ecn::Ect0);
    assert_eq!(class(ecn), Ok(Some((46 << 2) | 2)));
    assert_eq!(class(ecn.dscp(1)), Ok(Some(0b110)));
    assert_eq!(class(SendOptions::new().dscp(0)), Ok(Some(0)));
}

#[test]
fn nonsense_is_refused_by_name() {
    let problem = |options| applied(options, V4, SendDefaults::default()).unwrap_err();
    let high = problem(SendOptions::new().dscp(64));
    assert_eq!(high, "dscp: 64 is not between 0 and 63");
    let none = problem(SendOptions::new().hop_limit(0));
    assert_eq!(none, "hop_limit: 0 lets it go nowhere");
}

#[test]
fn over_ipv4_only_the_whole_server_sends_unfragmented() {
    let whole = SendOptions::new().dont_fragment(true);
    let alone = SendDefaults::default();
    assert!(applied(whole, V6, alone).is_ok_and(|egress| egress.dont_fragment));
    for v4 in [V4, "::ffff:192.0.2.1"] {
        let problem = applied(whole, v4, alone).unwrap_err();
        assert!(problem.starts_with("dont_fragment: over IPv4"), "{problem}");
        let server = SendDefaults {
            dont_fragment: true,
            ..alone
        };
        assert!(applied(whole, v4, server).is_ok(), "as all that it sends");
    }
}
