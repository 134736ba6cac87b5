//! Whether metron is told anything, and where it is (gorouter.md sections 2 and 11).

use super::Config;

/// Where metron listens unless the file says otherwise.
const ADDRESS: &str = "localhost:3457";

impl Config {
    /// `logging.metron_address`, or where metron is on a machine of Cloud Foundry.
    #[must_use]
    pub fn metron(&self) -> &str {
        self.logging.metron_address.as_deref().unwrap_or(ADDRESS)
    }

    /// Whether metron is told figures and exchanges: what `enable_envelope_v1_metrics` says, and where the file does not
    /// say, whether it names metron's address.
    ///
    /// In Gorouter the key is true unless it is set. Files for Cloud Foundry name both keys, so that they mean the same
    /// here; a file that names neither is none for Cloud Foundry, and a router that belongs to it would send some
    /// datagrams per request to a port on which nobody listens.
    #[must_use]
    pub fn tells_metron(&self) -> bool {
        self.enable_envelope_v1_metrics.unwrap_or(self.logging.metron_address.is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::super::parse;

    #[test]
    fn metron_is_told_where_the_file_speaks_of_it() {
        for (text, tells, address) in [
            ("port: 80", false, "localhost:3457"),
            ("logging: {metron_address: }\nenable_envelope_v1_metrics:", false, "localhost:3457"),
            ("logging: {metron_address: localhost:3457}", true, "localhost:3457"),
            ("logging: {metron_address: ''}", true, ""),
            ("enable_envelope_v1_metrics: true", true, "localhost:3457"),
            ("logging: {metron_address: m:1}\nenable_envelope_v1_metrics: false", false, "m:1"),
        ] {
            let config = parse(text).unwrap().config;
            assert_eq!((config.tells_metron(), config.metron()), (tells, address), "{text}");
        }
    }
}
