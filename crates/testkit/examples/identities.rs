//! `identities FOLDER CONFIG NAME...`: a certificate authority's work for docker-compose.yml, done once.
//!
//! Makes an authority, a certificate for the router and one for the instance NAME of each app, and writes
//! `FOLDER/router/gorouter.yml` (CONFIG, and below it strict mode with the certificates that it needs) and
//! `FOLDER/NAME/{instance.crt,instance.key,ca.crt}`. The authority's key is kept nowhere.
#![allow(clippy::print_stderr, reason = "a program speaks to its terminal")]

use std::{
    fs, io,
    path::Path,
    process::ExitCode,
    time::{Duration, SystemTime},
};

use trueroute_testkit::pki::{Authority, InstanceId, Leaf, LeafBuilder};

/// The name that sidecars ask of a router's certificate.
pub(crate) const ROUTER: &str = "gorouter";
/// Long enough for whoever leaves the containers running.
const VALIDITY: Duration = Duration::from_secs(90 * 24 * 60 * 60);

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, config, names @ ..] = arguments.as_slice() else {
        eprintln!("identities FOLDER CONFIG NAME...");
        return ExitCode::from(2);
    };
    match write(Path::new(folder), Path::new(config), names) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("identities: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Makes the certificates and writes the files.
///
/// # Errors
/// What the system says about a file.
pub(crate) fn write(folder: &Path, config: &Path, names: &[String]) -> io::Result<()> {
    let authority = Authority::new("instance-identity");
    let router = issue(authority.router_client(ROUTER));
    let settings = fs::read_to_string(config)? + &certificates(&authority, &router);
    fs::create_dir_all(folder.join("router"))?;
    fs::write(folder.join("router/gorouter.yml"), settings)?;
    for name in names {
        let own = folder.join(name);
        fs::create_dir_all(&own)?;
        let id = InstanceId { instance: name.clone(), ..InstanceId::of_app(name) };
        issue(authority.instance(&id)).write_to(&own, "instance");
        fs::write(own.join("ca.crt"), authority.pem())?;
    }
    Ok(())
}

fn issue(leaf: LeafBuilder) -> Leaf {
    leaf.not_after(SystemTime::now() + VALIDITY).issue()
}

/// The keys that `config` leaves out. A JSON string is a YAML string.
fn certificates(authority: &Authority, router: &Leaf) -> String {
    let text = |pem: &str| serde_json::Value::from(pem).to_string();
    format!(
        "\nroute_integrity: strict\nca_certs: [{}]\nbackends:\n  cert_chain: {}\n  private_key: {}\n",
        text(authority.pem()),
        text(&router.chain_pem),
        text(&router.key_pem)
    )
}
