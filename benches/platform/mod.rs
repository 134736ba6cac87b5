//! What a platform sends: registrations as a route emitter writes them, with the dozen tags that every app has.
//!
//! Each route has an app and an instance of its own, which is what costs a router most; ten apps share a space, and
//! ten spaces an organization.

const TAGGED: &str = r#""tags":{"#;

/// The host of route `n`.
pub(crate) fn host(n: usize) -> String {
    format!("storefront-{n:07}.apps.example.com")
}

/// The registration of route `n` with its own instance.
#[allow(dead_code, reason = "not every bench asks for it")]
pub(crate) fn message(n: usize) -> String {
    let address =
        format!(r#""host":"10.{}.{}.{}","port":61000,"tls_port":61001"#, n >> 16 & 255, n >> 8 & 255, n & 255);
    message_of(n, n, &address)
}

/// The registration of route `n` with instance `instance` at `address`, which is the beginning of the object.
pub(crate) fn message_of(n: usize, instance: usize, address: &str) -> String {
    let (space, organization) = (instance / 10, instance / 100);
    let app = uuid(1, instance);
    let id = instance_id(instance);
    let updated_at = 1_760_000_000_000_000_000_u64 + instance as u64 * 1_000_003;
    format!(
        r#"{{{address},"uris":["{host}"],"app":"{app}","private_instance_id":"{id}","private_instance_index":"0",
        "server_cert_domain_san":"{id}","availability_zone":"z{zone}","endpoint_updated_at_ns":{updated_at},
        {TAGGED}"app_id":"{app}","app_name":"storefront-{instance:07}","component":"route-emitter","instance_id":"0",
        "organization_id":"{organization_id}","organization_name":"organization-{organization}","process_id":"{app}",
        "process_instance_id":"{id}","process_type":"web","source_id":"{app}","space_id":"{space_id}",
        "space_name":"space-{space}"}}}}"#,
        host = host(n),
        zone = instance % 3 + 1,
        organization_id = uuid(3, organization),
        space_id = uuid(2, space),
    )
    .replace("\n        ", "")
}

/// A message without its tags, for what can be compared with earlier figures only in that way.
#[allow(dead_code, reason = "not every bench asks for it")]
pub(crate) fn untagged(message: &str) -> String {
    let (before, tags) = message.split_once(TAGGED).unwrap_or((message, ""));
    let after = tags.split_once('}').map_or("", |(_, after)| after);
    format!("{}{after}", before.trim_end_matches(','))
}

/// The `n`th identifier of a kind, in the usual form and with no pattern that could be exploited.
fn uuid(kind: u64, n: usize) -> String {
    let (high, low) = (scattered(kind, n, 0), scattered(kind, n, 1));
    let digits = format!("{high:016x}{low:016x}");
    format!("{}-{}-4{}-a{}-{}", &digits[..8], &digits[8..12], &digits[13..16], &digits[17..20], &digits[20..])
}

/// Instances have four groups of four digits behind the first, not three and one of twelve.
fn instance_id(n: usize) -> String {
    let digits = format!("{:016x}{:016x}", scattered(4, n, 0), scattered(4, n, 1));
    format!("{}-{}-{}-{}-{}", &digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..24])
}

/// Bits without order (the finalizer of SplitMix64).
fn scattered(kind: u64, n: usize, part: u64) -> u64 {
    let mut bits = (n as u64 * 2 + part).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ kind.wrapping_mul(0xd1b5_4a32_d192_ed03);
    bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ bits >> 31
}
