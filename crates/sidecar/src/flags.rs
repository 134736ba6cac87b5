//! The command line, read into [`Settings`].
//!
//! Every error names the flag. What the command line can't express is not checked here but made impossible in
//! [`Settings`].

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::{CommandFactory, Parser, ValueEnum, error::ErrorKind};

use crate::{
    log::{LogLevel, chain},
    settings::{
        AccessLog, AddressError, Admin, AdminAddress, AppAddress, Caps, Drain, Farewell, IdentityFiles, Listener, Mode,
        NatsServer, OnRefused, ProxyProtocol, Registration, Settings, Timeouts, host_and_port,
    },
};

/// Terminates TLS beside an app, and tells routers where it is.
#[derive(Debug, Parser)]
#[command(
    name = "trueroute-sidecar",
    version,
    after_help = "`explain` before the flags says what they come to, and serves nothing."
)]
pub struct Flags {
    /// Address to accept TLS on; port 0 takes a free one
    #[arg(long, value_name = "IP:PORT")]
    listen: SocketAddr,
    /// The app's plain port
    #[arg(long, value_name = "HOST:PORT")]
    app: AppAddress,
    /// Instance certificate in PEM, leaf first; read again when it changes
    #[arg(long, value_name = "FILE")]
    cert: PathBuf,
    /// Private key of the instance certificate in PEM
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// CA of the routers' client certificates in PEM; makes the mode strict
    #[arg(long, value_name = "FILE")]
    client_ca: Option<PathBuf>,
    /// Name that a router's certificate must carry, any one of those given; none accepts any certificate of the CA
    #[arg(long, value_name = "NAME", requires = "client_ca")]
    client_san: Vec<String>,
    /// Whether routers must prove who they are; strict if --client-ca is given
    #[arg(long, value_enum)]
    mode: Option<ModeWord>,
    /// What a router sees when the app refuses a connection
    #[arg(long, value_enum, default_value = "rst")]
    on_refused: RefusedWord,
    /// Tell the app first who calls, by the PROXY protocol; the app must expect it
    #[arg(long, value_enum)]
    app_proxy_protocol: Option<ProxyWord>,
    /// Where to write a line per connection: stdout, stderr, or a file
    #[arg(long, value_name = "TARGET", value_parser = access_log)]
    access_log: Option<AccessLog>,
    /// Least important log lines to write
    #[arg(long, value_enum, default_value = "info")]
    log_level: LevelWord,

    /// Address of the admin pages: IP:PORT, or the path of a Unix socket; the app can reach them too
    #[arg(long, value_name = "ADDRESS", value_parser = admin_address)]
    admin: Option<AdminAddress>,
    /// Refuse requests to the admin pages that change something
    #[arg(long, requires = "admin")]
    admin_read_only: bool,

    #[command(flatten)]
    limits: Limits,
    #[command(flatten)]
    registration: RegistrationFlags,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Limits")]
struct Limits {
    /// Time for the app to answer a connection
    #[arg(long, value_name = "MS", default_value_t = 250, value_parser = clap::value_parser!(u64).range(1..))]
    dial_timeout_ms: u64,
    /// Time for a whole handshake, the dial included
    #[arg(long, value_name = "S", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..))]
    handshake_timeout_s: u64,
    /// Close a connection after so long without a byte either way; 0 never does
    #[arg(long, value_name = "S", default_value_t = 3600)]
    idle_timeout_s: u64,
    /// Time for open connections to finish after TERM or INT
    #[arg(long, value_name = "S", default_value_t = 600)]
    drain_time_s: u64,
    /// Unfinished handshakes at a time
    #[arg(long, value_name = "N", default_value_t = 1024, value_parser = clap::value_parser!(u32).range(1..))]
    max_handshakes: u32,
    /// Connections at a time; what the descriptor limit allows if not given
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    max_connections: Option<u32>,
    /// How often the certificate files are read again
    #[arg(long, value_name = "MS", default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..))]
    reload_interval_ms: u64,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Registration with routers")]
struct RegistrationFlags {
    /// NATS server like nats://user:password@host:4222; several make a cluster
    #[arg(long, value_name = "URL", requires_all = ["uri", "app_id", "instance_id", "advertise"])]
    // Read later: an error of clap's own would repeat the password.
    nats: Vec<String>,
    /// Route to this instance; may be given several times
    #[arg(long, value_name = "HOST[/PATH]", requires = "nats", value_parser = route)]
    uri: Vec<String>,
    /// Application of this instance
    #[arg(long, value_name = "ID", requires = "nats", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    app_id: Option<String>,
    /// This instance; its certificate must carry this name
    #[arg(long, value_name = "ID", requires = "nats", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    instance_id: Option<String>,
    /// Address under which routers reach --listen; port 0 stands for the port that was bound
    #[arg(long, value_name = "HOST:PORT", requires = "nats", value_parser = advertised)]
    advertise: Option<Advertised>,
    /// Plain port to register beside the TLS port, 0 for none; the port of --app in mode tls, never one in strict
    #[arg(long, value_name = "PORT", requires = "nats")]
    plain_port: Option<u16>,
    /// Position of this instance within its app
    #[arg(long, value_name = "N", requires = "nats")]
    instance_index: Option<u32>,
    /// Isolation segment of this instance
    #[arg(long, value_name = "NAME", requires = "nats")]
    isolation_segment: Option<String>,
    /// Tag of the registration; may be given several times
    #[arg(long, value_name = "KEY=VALUE", requires = "nats", value_parser = tag)]
    tag: Vec<(String, String)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ModeWord {
    Tls,
    Strict,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum RefusedWord {
    Rst,
    Alert,
    Fin,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ProxyWord {
    V1,
    V2,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum LevelWord {
    Error,
    Warn,
    Info,
    Debug,
}

#[derive(Clone, Debug)]
struct Advertised {
    host: String,
    port: u16,
}

fn advertised(text: &str) -> Result<Advertised, AddressError> {
    host_and_port(text).map(|(host, port)| Advertised { host: host.to_owned(), port })
}

fn access_log(text: &str) -> Result<AccessLog, std::convert::Infallible> {
    Ok(match text {
        "stdout" => AccessLog::Stdout,
        "stderr" => AccessLog::Stderr,
        file => AccessLog::File(file.into()),
    })
}

#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("expected IP:PORT, or a path with a slash")]
struct AdminAddressError;

fn admin_address(text: &str) -> Result<AdminAddress, AdminAddressError> {
    match text.parse() {
        Ok(address) => Ok(AdminAddress::Tcp(address)),
        Err(_) if text.contains('/') => Ok(AdminAddress::Socket(text.into())),
        Err(_) => Err(AdminAddressError),
    }
}

#[derive(Clone, Copy, Debug, thiserror::Error)]
enum RouteError {
    #[error("a route is HOST[/PATH] without a scheme")]
    Scheme,
    #[error("the host is not a host name")]
    Host,
    #[error("the path has blanks, a query or a fragment")]
    Path,
}

fn route(text: &str) -> Result<String, RouteError> {
    if text.contains("://") {
        return Err(RouteError::Scheme);
    }
    let (host, path) = text.split_once('/').unwrap_or((text, ""));
    if host.is_empty() || !host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._*".contains(&b)) {
        return Err(RouteError::Host);
    }
    if path.chars().any(|c| c.is_whitespace() || c.is_control() || c == '?' || c == '#') {
        return Err(RouteError::Path);
    }
    Ok(text.to_owned())
}

#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("a tag is KEY=VALUE")]
struct TagError;

fn tag(text: &str) -> Result<(String, String), TagError> {
    let (key, value) = text.split_once('=').filter(|(key, _)| !key.is_empty()).ok_or(TagError)?;
    Ok((key.to_owned(), value.to_owned()))
}

impl Flags {
    /// What to log.
    #[must_use]
    pub fn log_level(&self) -> LogLevel {
        let word = self.log_level.to_possible_value();
        word.and_then(|word| LogLevel::named(word.get_name())).unwrap_or(LogLevel::INFO)
    }

    /// The settings that the flags describe.
    ///
    /// # Errors
    /// Flags that contradict one another, named; of a kind that exits with status 2 as all of clap's do.
    pub fn settings(self) -> Result<Settings, clap::Error> {
        let mode = mode(self.mode, self.client_ca, self.client_san)?;
        let registration = self.registration.read(&self.app, &mode)?;
        let limits = self.limits;
        let identity = IdentityFiles { certificate: self.cert, key: self.key };
        let listener = Listener {
            on_refused: match self.on_refused {
                RefusedWord::Rst => OnRefused::Reset,
                RefusedWord::Alert => OnRefused::Alert,
                RefusedWord::Fin => OnRefused::Close,
            },
            timeouts: Timeouts {
                dial: Duration::from_millis(limits.dial_timeout_ms),
                handshake: Duration::from_secs(limits.handshake_timeout_s),
                idle: (limits.idle_timeout_s > 0).then(|| Duration::from_secs(limits.idle_timeout_s)),
            },
            caps: Caps {
                handshakes: limits.max_handshakes as usize,
                connections: limits.max_connections.map(|most| most as usize),
            },
            proxy_protocol: self.app_proxy_protocol.map(|word| match word {
                ProxyWord::V1 => ProxyProtocol::V1,
                ProxyWord::V2 => ProxyProtocol::V2,
            }),
            access_log: self.access_log,
            ..Listener::new(self.listen, self.app, identity, mode)
        };
        let read_only = self.admin_read_only;
        let admin = self.admin.map(|address| Admin { read_only, ..Admin::new(address) });
        Ok(Settings {
            admin,
            registration,
            reload_interval: Duration::from_millis(limits.reload_interval_ms),
            drain: Drain { time: Duration::from_secs(limits.drain_time_s), ..Drain::default() },
            ..Settings::new(vec![listener])
        })
    }
}

/// A client CA without the word means strict: whoever names one expects it to be demanded.
fn mode(word: Option<ModeWord>, client_ca: Option<PathBuf>, names: Vec<String>) -> Result<Mode, clap::Error> {
    match (word, client_ca) {
        (Some(ModeWord::Strict), None) => Err(usage("--mode strict needs --client-ca")),
        (Some(ModeWord::Tls), Some(_)) => {
            Err(usage("--mode tls asks for no client certificate: leave out --client-ca"))
        }
        (_, None) => Ok(Mode::Tls),
        (_, Some(_)) if names.iter().any(String::is_empty) => Err(usage("--client-san is empty")),
        (_, Some(client_ca)) => Ok(Mode::strict(client_ca, names)),
    }
}

impl RegistrationFlags {
    fn read(self, app: &AppAddress, mode: &Mode) -> Result<Option<Registration>, clap::Error> {
        // clap has seen to it that these come together or not at all.
        let (Some(app_id), Some(instance_id), Some(advertise)) = (self.app_id, self.instance_id, self.advertise) else {
            return Ok(None);
        };
        let servers = nats_servers(&self.nats)?;
        let plain_port = match (mode, self.plain_port) {
            (Mode::Strict { .. }, Some(1..)) => return Err(usage("--plain-port contradicts strict: leave it out")),
            (Mode::Strict { .. }, _) => 0,
            (Mode::Tls, port) => port.unwrap_or(app.port()),
        };
        Ok(Some(Registration {
            servers,
            uris: self.uri,
            app_id,
            instance_id,
            instance_index: self.instance_index,
            host: advertise.host,
            tls_port: (advertise.port != 0).then_some(advertise.port),
            plain_port,
            isolation_segment: self.isolation_segment,
            tags: self.tag,
            farewell: Farewell::default(),
        }))
    }
}

fn nats_servers(urls: &[String]) -> Result<Vec<NatsServer>, clap::Error> {
    let mut servers: Vec<NatsServer> = Vec::with_capacity(urls.len());
    for (position, url) in (1..).zip(urls) {
        let server = url.parse().map_err(|error| usage(&format!("--nats (number {position}): {}", chain(&error))))?;
        servers.push(server);
    }
    let other = servers.iter().find(|server| server.login() != servers[0].login());
    match other {
        Some(other) => Err(usage(&format!("--nats: {} and {other} have different logins", servers[0]))),
        None => Ok(servers),
    }
}

fn usage(text: &str) -> clap::Error {
    Flags::command().error(ErrorKind::ArgumentConflict, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: &str = "--listen 127.0.0.1:0 --app 127.0.0.1:8080 --cert c.pem --key k.pem";
    const NATS: &str = "--nats nats://u:p@n1 --nats nats://u:p@n2 --uri a.test --uri *.b.test/p --app-id A --instance-id I --advertise 10.0.0.1:61001";

    fn read(line: &str) -> Result<Settings, String> {
        let words = std::iter::once("trueroute-sidecar").chain(line.split_whitespace());
        Flags::try_parse_from(words).and_then(Flags::settings).map_err(|error| {
            assert_eq!(error.exit_code(), 2);
            error.to_string()
        })
    }

    #[test]
    fn the_least_that_starts_is_a_tls_listener_with_the_documented_limits() {
        let settings = read(BASE).unwrap();
        let [listener] = settings.listeners.as_slice() else { panic!("one listener") };
        assert_eq!(listener.mode, Mode::Tls);
        assert_eq!(listener.on_refused, OnRefused::Reset);
        assert_eq!(listener.timeouts, Timeouts::default());
        assert_eq!(listener.caps, Caps::default());
        assert_eq!(settings.drain, Drain::default());
        assert!(settings.registration.is_none());
    }

    #[test]
    fn a_client_ca_makes_the_mode_strict() {
        let settings =
            read(&format!("{BASE} --client-ca ca.pem --client-san gorouter --client-san ssh-proxy")).unwrap();
        let expected = Mode::strict("ca.pem", vec!["gorouter".into(), "ssh-proxy".into()]);
        assert_eq!(settings.listeners[0].mode, expected);
    }

    #[test]
    fn a_registration_is_read_whole() {
        let registration =
            read(&format!("{BASE} {NATS} --instance-index 2 --tag k=v=w")).unwrap().registration.unwrap();
        assert_eq!(registration.servers.len(), 2);
        assert_eq!(registration.uris, ["a.test", "*.b.test/p"]);
        assert_eq!((registration.host.as_str(), registration.tls_port), ("10.0.0.1", Some(61001)));
        assert_eq!((registration.plain_port, registration.instance_index), (8080, Some(2)));
        assert_eq!(registration.tags, [("k".to_owned(), "v=w".to_owned())]);
    }

    #[test]
    fn a_strict_registration_has_no_plain_port_and_port_0_means_the_bound_one() {
        let line = format!("{BASE} --client-ca ca {}", NATS.replace("61001", "0"));
        let registration = read(&line).unwrap().registration.unwrap();
        assert_eq!((registration.plain_port, registration.tls_port), (0, None));
    }

    #[test]
    fn zero_means_never_for_the_idle_timeout() {
        let settings = read(&format!("{BASE} --idle-timeout-s 0")).unwrap();
        assert_eq!(settings.listeners[0].timeouts.idle, None);
    }

    #[test]
    fn the_admin_pages_have_a_port_or_a_socket() {
        assert!(read(BASE).unwrap().admin.is_none());
        for (address, expected) in [
            ("127.0.0.1:61003", AdminAddress::Tcp(([127, 0, 0, 1], 61003).into())),
            ("/run/admin.sock", AdminAddress::Socket("/run/admin.sock".into())),
        ] {
            let admin = read(&format!("{BASE} --admin {address} --admin-read-only")).unwrap().admin.unwrap();
            assert_eq!((admin.address, admin.read_only), (expected, true));
        }
    }

    #[test]
    fn wrong_flags_are_named() {
        let table = [
            (BASE.replace("--app 127.0.0.1:8080", ""), "--app"),
            (BASE.replace("--key k.pem", ""), "--key"),
            (BASE.replace("127.0.0.1:8080", "127.0.0.1"), "--app"),
            (BASE.replace("127.0.0.1:0", "localhost:1"), "--listen"),
            (format!("{BASE} --mode strict"), "--client-ca"),
            (format!("{BASE} --mode tls --client-ca ca"), "--client-ca"),
            (format!("{BASE} --mode mutual"), "--mode"),
            (format!("{BASE} --client-san x"), "--client-ca"),
            (format!("{BASE} --nats nats://n"), "--uri"),
            (format!("{BASE} --uri a.test"), "--nats"),
            (format!("{BASE} {}", NATS.replace("u:p@n2", "x:y@n2")), "--nats"),
            (format!("{BASE} {}", NATS.replace("nats://u:p@n1", "http://u:p@n1")), "--nats"),
            (format!("{BASE} {}", NATS.replace("n1", "n1:99999")), "--nats"),
            (format!("{BASE} {}", NATS.replace("a.test", "https://a.test")), "--uri"),
            (format!("{BASE} {}", NATS.replace("a.test", "a.test/?q")), "--uri"),
            (format!("{BASE} {}", NATS.replace("10.0.0.1:61001", "10.0.0.1")), "--advertise"),
            (format!("{BASE} {NATS} --tag novalue"), "--tag"),
            (format!("{BASE} --client-ca ca {NATS} --plain-port 80"), "--plain-port"),
            (format!("{BASE} --max-handshakes 0"), "--max-handshakes"),
            (format!("{BASE} --admin somewhere"), "--admin"),
            (format!("{BASE} --admin-read-only"), "--admin"),
            (format!("{BASE} --handshake-timeout-s 0"), "--handshake-timeout-s"),
        ];
        for (line, flag) in table {
            let error = read(&line).expect_err(&line);
            assert!(error.contains(flag), "{line}\n{error}");
            assert!(!error.contains("p@n1"), "no password in {error}");
        }
    }
}
