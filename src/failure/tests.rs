use super::*;

#[test]
fn want_of_descriptors_or_ports_is_not_the_endpoints_fault() {
    for (error, fate) in [
        (io::Error::from_raw_os_error(23), Fate::Keep),
        (io::Error::from_raw_os_error(24), Fate::Keep),
        (io::ErrorKind::AddrNotAvailable.into(), Fate::Keep),
        (io::ErrorKind::ConnectionRefused.into(), Fate::Prune),
    ] {
        let failure = Failure::Dial(DialError::Connect { address: "10.0.0.1:80".into(), error });
        assert_eq!((failure.verdict().fate, failure.verdict().retry), (fate, Retry::Always), "{failure}");
    }
}
