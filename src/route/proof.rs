//! What a handshake has shown: that the endpoint is who it was registered as, and by which certificate.

use std::time::{Duration, SystemTime};

/// One proof of an identity. When it was given is for whoever keeps it to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proof {
    /// When the certificate ends, in seconds since 1970.
    not_after: u64,
    fingerprint: [u8; 8],
    /// Whether the endpoint asked for the router's own certificate.
    pub asked_for_ours: bool,
}

impl Proof {
    /// The proof by a certificate that ends at `not_after` and whose SHA-256 is `sha256`.
    #[must_use]
    pub fn new(not_after: SystemTime, sha256: &[u8], asked_for_ours: bool) -> Self {
        let not_after = not_after.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let fingerprint = sha256.first_chunk().copied().unwrap_or_default();
        Self { not_after, fingerprint, asked_for_ours }
    }

    /// When the certificate ends.
    #[must_use]
    pub fn not_after(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(self.not_after)
    }

    /// The first eight bytes of the certificate's SHA-256 in hexadecimal: enough to tell certificates apart.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        self.fingerprint.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proof_keeps_the_end_and_the_start_of_the_fingerprint() {
        let ends = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let proof = Proof::new(ends, &[0xab, 1, 2, 3, 4, 5, 6, 7, 8], false);
        assert_eq!((proof.not_after(), &*proof.fingerprint()), (ends, "ab01020304050607"));
    }
}
