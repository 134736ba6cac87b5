//! The binary itself: signals, exit codes, and what it prints.

use std::{
    io::{BufRead, BufReader, Read},
    ops::Deref,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    thread,
};

use serde_json::Value;
use trueroute_testkit::{ReservedPort, Tempdir, eventually};

use super::{LogLine, PATIENCE, Reach, RouterBuilder, logs};

/// A running `trueroute`. Dropping it kills it.
pub(crate) struct RouterProcess {
    reach: Reach,
    printed: Printed,
    _ports: Vec<ReservedPort>,
    dir: Tempdir,
}

/// A started `trueroute -c FILE` and its output.
pub(crate) struct Printed {
    child: Mutex<Child>,
    stdout: Arc<Mutex<Vec<u8>>>,
    stderr: Arc<Mutex<Vec<u8>>>,
    readers: Mutex<Vec<thread::JoinHandle<()>>>,
}

impl RouterProcess {
    pub(super) fn launch(builder: RouterBuilder, ports: Vec<ReservedPort>) -> Self {
        let file = builder.dir.path().join("gorouter.yml");
        std::fs::write(&file, builder.yml()).expect("the directory is ours");
        let reach = Reach {
            http: builder.port("port"),
            https: builder.port("ssl_port"),
            health: builder.port("status.port"),
            routes: builder.port("status.routes.port"),
            metrics: builder.port("prometheus.port"),
            access_log: builder.dir.path().join("access.log"),
            scene: builder.scene,
        };
        Self { reach, printed: Printed::start(&file, &builder.environment), _ports: ports, dir: builder.dir }
    }

    /// Writes its configuration file anew with other values under these keys, named with dots. In one step: nobody sees
    /// half of it.
    pub(crate) fn rewrite(&self, changes: &[(&str, Value)]) {
        let text = std::fs::read_to_string(self.configuration()).expect("it was written at the start");
        let mut settings: Value = serde_json::from_str(&text).expect("it is JSON");
        for (key, value) in changes {
            let place = key.split('.').fold(&mut settings, |section, name| &mut section[name]);
            *place = value.clone();
        }
        self.replace_configuration(&settings.to_string());
    }

    /// The same with a text.
    pub(crate) fn replace_configuration(&self, text: &str) {
        let next = self.dir.path().join("next.yml");
        std::fs::write(&next, text).expect("the directory is ours");
        std::fs::rename(&next, self.configuration()).expect("the directory is ours");
    }

    /// Where its configuration is.
    pub(crate) fn configuration(&self) -> PathBuf {
        self.dir.path().join("gorouter.yml")
    }

    /// Waits for so many lines with this message, and gives the last of them.
    pub(crate) async fn nth_line(&self, message: &str, count: usize) -> LogLine {
        let find = || self.lines().into_iter().filter(|line| line.message() == message).collect::<Vec<_>>();
        eventually(PATIENCE, async || find().len() >= count).await;
        find().remove(count - 1)
    }

    /// Runs the binary with a configuration of this text until it ends by itself: its exit code and output.
    pub(crate) async fn run_to_end(text: &str) -> (i32, Vec<LogLine>) {
        let dir = Tempdir::new().expect("a temporary directory can be made");
        let file = dir.path().join("gorouter.yml");
        std::fs::write(&file, text).expect("the directory is ours");
        let printed = Printed::start(&file, &[]);
        let code = printed.exit_code().await;
        (code, logs::parse(&printed.stdout()))
    }

    /// Waits until it takes traffic.
    pub(crate) async fn started(&self) {
        self.line("gorouter.started").await;
    }

    /// The whole lines that it has printed on standard output so far.
    pub(crate) fn lines(&self) -> Vec<LogLine> {
        logs::parse(&self.printed.stdout())
    }

    /// Waits for the first line with this message.
    pub(crate) async fn line(&self, message: &str) -> LogLine {
        let find = || self.lines().into_iter().find(|line| line.message() == message);
        eventually(PATIENCE, async || {
            let found = find().is_some();
            assert!(found || self.printed.is_running(), "it ended without {message:?}:\n{}", self.printed.all());
            found
        })
        .await;
        find().unwrap()
    }

    /// What it has printed on standard output so far.
    pub(crate) fn stdout(&self) -> String {
        self.printed.stdout()
    }

    /// What it has printed on standard error so far.
    pub(crate) fn stderr(&self) -> String {
        text(&self.printed.stderr)
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.printed.child.lock().expect("no holder panics").id()
    }

    /// Sends a signal: `USR1`, `TERM`, `INT`.
    pub(crate) fn signal(&self, name: &str) {
        // Every shell has `kill` built in; not every system has the program.
        let status = Command::new("sh").args(["-c", &format!("kill -{name} {}", self.id())]).status();
        assert!(status.expect("there is a shell").success(), "the process takes SIG{name}");
    }

    /// Whether it has not ended yet.
    pub(crate) fn is_running(&self) -> bool {
        self.printed.is_running()
    }

    /// Waits for its end: the exit code, once all of its output is here.
    pub(crate) async fn exit_code(&self) -> i32 {
        self.printed.exit_code().await
    }
}

impl Deref for RouterProcess {
    type Target = Reach;

    fn deref(&self) -> &Reach {
        &self.reach
    }
}

impl Printed {
    fn start(file: &Path, environment: &[(&str, String)]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_trueroute"));
        command
            .envs(environment.iter().cloned())
            .arg("-c")
            .arg(file)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().expect("the binary starts");
        let (stdout, out) = keep(child.stdout.take().expect("it is piped"));
        let (stderr, err) = keep(child.stderr.take().expect("it is piped"));
        Self { child: Mutex::new(child), stdout, stderr, readers: Mutex::new(vec![out, err]) }
    }

    fn stdout(&self) -> String {
        text(&self.stdout)
    }

    fn all(&self) -> String {
        text(&self.stdout) + &text(&self.stderr)
    }

    fn is_running(&self) -> bool {
        self.child.lock().expect("no holder panics").try_wait().expect("it can be waited for").is_none()
    }

    async fn exit_code(&self) -> i32 {
        eventually(PATIENCE, async || !self.is_running()).await;
        for reader in self.readers.lock().expect("no holder panics").drain(..) {
            reader.join().expect("readers do not panic");
        }
        let status = self.child.lock().expect("no holder panics").wait().expect("it can be waited for");
        status.code().unwrap_or_else(|| panic!("it was killed: {status}"))
    }
}

impl Drop for Printed {
    fn drop(&mut self) {
        let child = self.child.get_mut().expect("no holder panics");
        let _ = child.kill();
        let _ = child.wait();
    }
}

/// Reads to the end on a thread of its own, so that a full pipe never stops the process.
fn keep(from: impl Read + Send + 'static) -> (Arc<Mutex<Vec<u8>>>, thread::JoinHandle<()>) {
    let kept = Arc::new(Mutex::new(Vec::new()));
    let lines = Arc::clone(&kept);
    let reader = thread::spawn(move || {
        let mut from = BufReader::new(from);
        let mut line = Vec::new();
        while from.read_until(b'\n', &mut line).is_ok_and(|count| count > 0) {
            lines.lock().expect("no holder panics").append(&mut line);
        }
    });
    (kept, reader)
}

fn text(bytes: &Mutex<Vec<u8>>) -> String {
    String::from_utf8_lossy(&bytes.lock().expect("no holder panics")).into_owned()
}
