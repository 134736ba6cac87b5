//! Asking a running router, over the port of `status.routes.port`.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{TcpStream, ToSocketAddrs},
    path::{Path, PathBuf},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use clap::Args;

use crate::config::{self, Config};

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(5);
/// How long the router may say nothing.
const SILENCE: Duration = Duration::from_secs(30);
/// Longest head of an answer.
const HEAD: u64 = 64 * 1024;
/// The variable that holds a password.
const PASSWORD: &str = "TRUEROUTE_PASSWORD";

/// Which router is asked, and by whom.
#[derive(Debug, Default, Args)]
pub struct Which {
    /// The router's own configuration file, for its port, user and password; built-in defaults without it.
    #[arg(short = 'c', value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where the router's table is, `http://HOST:PORT`, instead of 127.0.0.1 and `status.routes.port`.
    #[arg(long, value_name = "URL")]
    pub admin: Option<String>,
    /// The user, instead of `status.user`. The password is then in `TRUEROUTE_PASSWORD`, or in a file.
    #[arg(long, value_name = "NAME")]
    pub user: Option<String>,
    /// A file that holds the password; `-` for standard input.
    #[arg(long, value_name = "FILE")]
    pub password_file: Option<PathBuf>,
}

/// A router to ask.
#[derive(Debug)]
pub struct Asker {
    address: String,
    authorization: String,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// The question makes no sense.
    #[error("{0}")]
    Usage(String),
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] config::ConfigError),
    /// The password cannot be read.
    #[error("cannot read {}: {error}", path.display())]
    Password {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// Nobody is there.
    #[error("no router answers at {address}: {error}. Is it running, and is this its status.routes.port?")]
    Unreachable {
        /// Where it was looked for.
        address: String,
        /// What the system says.
        error: io::Error,
    },
    /// The password is wrong.
    #[error("the router at {0} does not take this user and password: they are status.user and status.pass of its file")]
    Login(String),
    /// It is something else.
    #[error("what answers at {0} is no router that knows this question: another program, or an older version")]
    Stranger(String),
    /// It answers with an error of its own.
    #[error("the router at {address} answers with {status}: {text}")]
    Status {
        /// Where it is.
        address: String,
        /// The status.
        status: u16,
        /// What it says.
        text: String,
    },
    /// The answer is not whole, or not to be understood.
    #[error("the answer of the router at {address} broke off: {error}")]
    Broken {
        /// Where it is.
        address: String,
        /// How.
        error: io::Error,
    },
    /// What was found could not be printed.
    #[error(transparent)]
    Print(#[from] io::Error),
}

impl Asker {
    /// The router that the arguments name.
    ///
    /// # Errors
    /// A file that cannot be read, or arguments that make no sense.
    pub fn of(which: &Which) -> Result<Self, AskError> {
        let config = match &which.config {
            Some(path) => config::load(path)?.config,
            None => Config::default(),
        };
        let address = match &which.admin {
            Some(url) => address(url)?,
            None if config.status.routes.port == 0 => {
                return Err(AskError::Usage(
                    "status.routes.port is 0, so that only --admin can say where it is".into(),
                ));
            }
            None => format!("127.0.0.1:{}", config.status.routes.port),
        };
        let password = match (&which.password_file, std::env::var(PASSWORD)) {
            (Some(path), _) => password(path).map_err(|error| AskError::Password { path: path.clone(), error })?,
            (None, Ok(password)) => password,
            (None, Err(_)) if which.user.is_some() => {
                return Err(AskError::Usage(format!("--user needs a password: in --password-file, or in {PASSWORD}")));
            }
            (None, Err(_)) => config.status.pass.expose().to_owned(),
        };
        let user = which.user.as_ref().unwrap_or(&config.status.user);
        Ok(Self { address, authorization: STANDARD.encode(format!("{user}:{password}")) })
    }

    /// The body of the answer to a GET of this path.
    ///
    /// # Errors
    /// Whatever keeps it from being a 200.
    pub fn get(&self, path: &str) -> Result<impl BufRead + use<>, AskError> {
        let Self { address, authorization } = self;
        let unreachable = |error| AskError::Unreachable { address: address.clone(), error };
        let broken = |error| self.broken(error);
        let mut stream = connect(address).map_err(unreachable)?;
        stream.set_read_timeout(Some(SILENCE)).map_err(broken)?;
        // In HTTP/1.0 the body ends with the connection, and needs no decoding.
        let question = format!(
            "GET {path} HTTP/1.0\r\nHost: {address}\r\nAuthorization: Basic {authorization}\r\nAccept: */*\r\n\r\n"
        );
        stream.write_all(question.as_bytes()).map_err(broken)?;
        let mut answer = BufReader::with_capacity(64 * 1024, stream);
        let status = head(&mut answer).map_err(broken)?;
        let address = || address.clone();
        match status {
            Some(200) => return Ok(answer),
            Some(401) => return Err(AskError::Login(address())),
            Some(404) | None => return Err(AskError::Stranger(address())),
            Some(_) => {}
        }
        let mut text = String::new();
        answer.take(HEAD).read_to_string(&mut text).map_err(broken)?;
        let text = text.trim().to_owned();
        match status {
            Some(400) => Err(AskError::Usage(text)),
            status => Err(AskError::Status { address: address(), status: status.unwrap_or_default(), text }),
        }
    }

    /// What is wrong with an answer that began well.
    pub(super) fn broken(&self, error: io::Error) -> AskError {
        AskError::Broken { address: self.address.clone(), error }
    }
}

/// A text as the value of a parameter of a URL.
#[must_use]
pub fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    escaped
}

/// `HOST:PORT` of a URL.
fn address(url: &str) -> Result<String, AskError> {
    let usage = || AskError::Usage(format!("--admin {url}: must be http://HOST:PORT"));
    let rest = match url.split_once("://") {
        Some(("http", rest)) => rest,
        Some(_) => return Err(usage()),
        None => url,
    };
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let port = rest.rsplit_once(':').map(|(_, port)| port.parse::<u16>());
    let plain = rest.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte));
    if plain && matches!(port, Some(Ok(1..))) { Ok(rest.to_owned()) } else { Err(usage()) }
}

fn password(path: &Path) -> io::Result<String> {
    let text = if path == Path::new("-") { io::read_to_string(io::stdin())? } else { std::fs::read_to_string(path)? };
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

fn connect(address: &str) -> io::Result<TcpStream> {
    let mut last = io::Error::other("the name has no address");
    for address in address.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, CONNECT) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Reads the head of an answer: its status, if it is HTTP.
fn head(answer: &mut impl BufRead) -> io::Result<Option<u16>> {
    let mut head = answer.take(HEAD);
    let mut line = Vec::new();
    head.read_until(b'\n', &mut line)?;
    let first = String::from_utf8_lossy(&line).into_owned();
    let status = first.strip_prefix("HTTP/1.").and_then(|rest| rest.split(' ').nth(1)?.trim().parse().ok());
    while status.is_some() {
        line.clear();
        if head.read_until(b'\n', &mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if matches!(&*line, b"\r\n" | b"\n") {
            break;
        }
    }
    Ok(status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_host_and_port() {
        for (url, wanted) in [
            ("http://10.0.0.1:8082", Some("10.0.0.1:8082")),
            ("http://router.internal:8082/", Some("router.internal:8082")),
            ("[::1]:8082", Some("[::1]:8082")),
            ("https://10.0.0.1:8082", None),
            ("http://10.0.0.1", None),
            ("http://10.0.0.1:0", None),
            ("http://10.0.0.1:8082/routes", None),
            ("http://a:b@10.0.0.1:8082", None),
        ] {
            assert_eq!(address(url).ok().as_deref(), wanted, "{url}");
        }
    }

    #[test]
    fn a_parameter_is_escaped() {
        assert_eq!(escaped("http://a.b/c?d=e&f g+\u{e9}%"), "http%3A//a.b/c%3Fd%3De%26f%20g%2B%C3%A9%25");
    }

    #[test]
    fn a_head_gives_its_status_and_ends_at_the_empty_line() {
        let mut answer: &[u8] = b"HTTP/1.0 401 Unauthorized\r\nA: b\r\n\r\nbody";
        assert_eq!(head(&mut answer).unwrap(), Some(401));
        assert_eq!(answer, b"body");
        assert_eq!(head(&mut &b"SSH-2.0-x\r\n"[..]).unwrap(), None);
        assert!(head(&mut &b"HTTP/1.0 200 OK\r\nA: b"[..]).is_err());
    }
}
