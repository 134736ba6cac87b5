//! One screen that leads from a port to its app: what is served, to whom, and by what certificate.

use std::{
    fmt::{self, Write as _},
    time::SystemTime,
};

use trueroute_identity::{Credentials, PeerIdentity};

use crate::{
    log::{Rfc3339, chain},
    material::Watched,
    settings::{ClientCa, IdentitySource, Listener, Mode, Pem, Settings},
};

/// Says port, listener, cluster, app, mode and names for everything that `settings` serve. Reads the certificates as
/// serving would, and says what is wrong with them.
#[must_use]
pub fn explain(settings: &Settings) -> String {
    let mut page = String::new();
    for listener in &settings.listeners {
        // Writing to a string does not fail.
        let _ = write(&mut page, listener);
    }
    let _ = match &settings.admin {
        Some(admin) => {
            writeln!(page, "admin pages: {}{}", admin.address, if admin.read_only { " (read only)" } else { "" })
        }
        None => writeln!(page, "admin pages: none"),
    };
    page
}

fn write(page: &mut String, listener: &Listener) -> fmt::Result {
    let Listener { name, cluster, listen, app, .. } = listener;
    writeln!(page, "port {} ({listen}) -> listener {name} -> cluster {cluster} -> app {app}", listen.port())?;
    let found = Watched::new(listener.identity.clone()).look();
    match found {
        Some(Ok(credentials)) => shows(page, &listener.identity, &credentials)?,
        Some(Err(error)) => writeln!(page, "  shows    nothing yet: {}", chain(&error))?,
        None => {}
    }
    match (&listener.mode, Watched::new(listener.mode.clone()).look()) {
        (Mode::Strict { client_ca, .. }, Some(Ok(Some(believed)))) => {
            writeln!(page, "  demands  strict: a certificate of the authorities in {}", of_authorities(client_ca))?;
            match believed.names.as_slice() {
                [] => writeln!(page, "  allows   any name")?,
                names => {
                    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
                    writeln!(page, "  allows   {}", names.join(", "))?;
                }
            }
        }
        (Mode::Strict { .. }, Some(Err(error))) => {
            writeln!(page, "  demands  strict, and lets nobody in: {}", chain(&error))?;
        }
        _ => writeln!(page, "  demands  tls: nothing of the caller")?,
    }
    if let Some(version) = listener.proxy_protocol {
        writeln!(page, "  tells    the app who calls, by the PROXY protocol {}", version.name())?;
    }
    let protocols = listener.offer.protocols.iter().map(|name| String::from_utf8_lossy(name));
    let protocols = protocols.collect::<Vec<_>>().join(", ");
    if !protocols.is_empty() {
        writeln!(page, "  agrees   {protocols}")?;
    }
    Ok(())
}

fn shows(page: &mut String, source: &IdentitySource, credentials: &Credentials) -> fmt::Result {
    let leaf = credentials.certified().cert.first().and_then(|leaf| PeerIdentity::from_der(leaf).ok());
    let names = leaf.map(|leaf| leaf.presented().join(", ")).unwrap_or_default();
    let until = credentials.not_after().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let names = if names.is_empty() { "no name (draining)".to_owned() } else { names };
    writeln!(page, "  shows    {names}, until {}, from {}", Rfc3339(until), of_identity(source))
}

fn of_identity(source: &IdentitySource) -> String {
    match source {
        IdentitySource::Given(pair) => of_pem(&pair.chain),
        IdentitySource::Secret(file) => format!("{} ({})", file.path.display(), file.name),
        IdentitySource::Listeners(file) => file.path.display().to_string(),
    }
}

fn of_authorities(source: &ClientCa) -> String {
    match source {
        ClientCa::Given(pem) => of_pem(pem),
        ClientCa::Secret(file) => format!("{} ({})", file.path.display(), file.name),
        ClientCa::Listeners(file) => file.path.display().to_string(),
    }
}

fn of_pem(pem: &Pem) -> String {
    match pem {
        Pem::Text(_) => "the configuration itself".to_owned(),
        Pem::File(path) => path.display().to_string(),
    }
}
