//! `/certs`: what is shown and believed, and for how much longer.

use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use trueroute_identity::accept::Description;

use super::{
    house::{Flat, House},
    http::Answer,
};
use crate::{
    log::Seconds,
    settings::{ClientCa, IdentitySource, Mode, Pem},
};

const DAY: u64 = 24 * 60 * 60;

/// The page.
pub(super) fn page(house: &House) -> Answer {
    let certificates: Vec<Value> = house.flats.iter().map(of_flat).collect();
    Answer::json(&json!({"certificates": certificates}))
}

/// Days until the first certificate that is shown runs out; `None` while none is shown.
pub(super) fn days_left(house: &House) -> Option<u64> {
    let ends = house.flats.iter().filter_map(|flat| Some(flat.presented.in_force().credentials?.not_after()));
    ends.min().map(days_until)
}

fn of_flat(flat: &Flat) -> Value {
    let in_force = flat.presented.in_force();
    let identity_path = match &flat.identity {
        IdentitySource::Given(pair) => path_of(&pair.chain),
        IdentitySource::Secret(_) | IdentitySource::Listeners(_) => "<inline>".to_owned(),
    };
    let ca_path = match &flat.mode {
        Mode::Strict { client_ca: ClientCa::Given(pem), .. } => path_of(pem),
        _ => "<inline>".to_owned(),
    };
    // As with Envoy: the leaf, without the authorities that are shown beside it.
    let leaf = in_force.credentials.iter().filter_map(|credentials| credentials.certified().cert.first());
    let chain: Vec<Value> =
        leaf.filter_map(|der| Description::of_der(der)).map(|told| entry(&told, &identity_path)).collect();
    let believed = in_force.believed.iter().flat_map(|believed| Description::of_pem(&believed.pem));
    let believed: Vec<Value> = believed.map(|told| entry(&told, &ca_path)).collect();
    let mut certificate = json!({"ca_cert": believed, "cert_chain": chain});
    // Not Envoy's: that a rotation did not land is what this page is opened for.
    if let Some(problem) = in_force.problem {
        certificate["last_error"] = problem.into();
    }
    certificate
}

fn path_of(pem: &Pem) -> String {
    match pem {
        Pem::Text(_) => "<inline>".to_owned(),
        Pem::File(path) => path.display().to_string(),
    }
}

fn entry(told: &Description, path: &str) -> Value {
    let dns = told.dns_names.iter().map(|name| json!({"dns": name}));
    let uris = told.uris.iter().map(|uri| json!({"uri": uri}));
    let addresses = told.ip_addresses.iter().map(|address| json!({"ip_address": address.to_string()}));
    json!({
        "path": path,
        "serial_number": told.serial,
        "subject_alt_names": dns.chain(uris).chain(addresses).collect::<Vec<_>>(),
        "days_until_expiration": days_until(told.not_after).to_string(),
        "valid_from": moment(told.not_before),
        "expiration_time": moment(told.not_after),
    })
}

fn days_until(end: SystemTime) -> u64 {
    end.duration_since(SystemTime::now()).map_or(0, |left| left.as_secs() / DAY)
}

/// A moment as proto JSON writes it.
pub(super) fn moment(at: SystemTime) -> String {
    Seconds(at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO)).to_string()
}
