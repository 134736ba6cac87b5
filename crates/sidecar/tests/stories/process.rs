//! The program itself: exit codes, signals, and what it weighs.

use std::{
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc::{Receiver, channel},
    time::Duration,
};

use futures_util::future::join_all;
use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, split},
    net::{TcpStream, UnixStream},
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use trueroute_testkit::{eventually, until};

use super::{
    diego::{Container, Door},
    scene::{PATIENCE, World, accept, app, echo, echoing, shown},
};

/// The program under test.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_trueroute-sidecar");

/// A sidecar as a child process; dropping it kills it.
struct Process {
    child: Child,
    addr: SocketAddr,
    log: Receiver<String>,
}

impl Process {
    /// Starts a sidecar in Envoy's place, and waits until it listens.
    fn in_envoys_place(config: &Path, more: &[&str]) -> Self {
        let mut command = Command::new(PROGRAM);
        command.arg("-c").arg(config).args(["--drain-time-s", "900"]).args(more);
        Self::launch(command)
    }

    /// Starts a strict sidecar through `shell`, which ends in `exec "$@"`, and waits until it listens.
    fn start(world: &World, app: SocketAddr, shell: &str) -> Self {
        let mut command = Command::new("sh");
        command.args(["-c", shell, "sh", PROGRAM, "--listen", "127.0.0.1:0", "--app", &app.to_string()]);
        command.arg("--cert").arg(world.file("instance.crt")).arg("--key").arg(world.file("instance.key"));
        command.arg("--client-ca").arg(world.file("client-ca.crt")).args(["--client-san", super::scene::ROUTER]);
        Self::launch(command)
    }

    fn launch(mut command: Command) -> Self {
        let mut child = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let (tell, log) = channel();
        std::thread::spawn(move || lines.map_while(Result::ok).all(|line| tell.send(line).is_ok()));
        let listening = std::iter::from_fn(|| log.recv_timeout(PATIENCE).ok()).find(|line| line.contains("Listening"));
        let listening = listening.expect("it says where it listens");
        let addr = listening.split_whitespace().find_map(|word| word.strip_prefix("address=")).unwrap();
        let addr = addr.parse().unwrap();
        Self { child, addr, log }
    }

    async fn call(&self, world: &World) -> TlsStream<TcpStream> {
        let (tls, tcp) = (world.router(), TcpStream::connect(self.addr).await.unwrap());
        tcp.set_nodelay(true).unwrap();
        let shaken = TlsConnector::from(tls.config()).connect(tls.server_name(), tcp);
        timeout(PATIENCE, shaken).await.unwrap().unwrap()
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// The exit status, and what was logged since it listened.
    fn ends(mut self) -> (ExitStatus, Vec<String>) {
        let mut status = None;
        until(PATIENCE, || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        (status.unwrap(), self.log.iter().collect())
    }

    /// A line of `/proc/<pid>/status` that counts.
    fn status(&self, name: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim_matches(|c: char| !c.is_ascii_digit()).parse().unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn run(words: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(PROGRAM).args(words).output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[tokio::test]
async fn term_and_int_end_it_in_order_with_0() {
    let world = World::new();
    for signal in [Signal::TERM, Signal::INT] {
        let process = Process::start(&world, echoing().await, "exec \"$@\"");
        let mut router = process.call(&world).await;
        echo(&mut router, "hello").await;
        process.signal(signal);
        // The idle connection is closed in order, and then there is nothing left to wait for.
        assert_eq!(timeout(PATIENCE, router.read(&mut [0; 1])).await.unwrap().unwrap(), 0);
        drop(router);
        let (status, log) = process.ends();
        assert_eq!(status.code(), Some(0), "{log:?}");
        assert!(log.last().is_some_and(|line| line.ends_with("Stopped")), "{log:?}");
    }
}

#[test]
fn wrong_flags_end_with_2_and_are_named() {
    let (code, text) = run(&["--listen", "nowhere"]);
    assert_eq!(code, Some(2));
    assert!(text.contains("--listen"), "{text}");
    let (code, text) =
        run(&["--listen", "127.0.0.1:0", "--app", "a:1", "--cert", "c", "--key", "k", "--mode", "strict"]);
    assert_eq!(code, Some(2));
    assert!(text.contains("--client-ca"), "{text}");
}

#[test]
fn what_keeps_it_from_starting_ends_with_1_and_names_flag_and_file() {
    let words = ["--listen", "127.0.0.1:0", "--app", "a:1", "--cert", "c", "--key", "k", "--client-ca", "/no/such.crt"];
    let (code, text) = run(&words);
    assert_eq!(code, Some(1));
    assert!(text.contains("--client-ca") && text.contains("/no/such.crt"), "{text}");
    assert_eq!(text.lines().count(), 1, "{text}");
}

#[tokio::test]
async fn one_thread_serves() {
    let world = World::new();
    let process = Process::start(&world, echoing().await, "exec \"$@\"");
    echo(&mut process.call(&world).await, "hello").await;
    let tasks = std::fs::read_dir(format!("/proc/{}/task", process.child.id())).unwrap();
    let names = tasks.map(|task| std::fs::read_to_string(task.unwrap().path().join("comm")).unwrap());
    let names: Vec<String> = names.collect();
    assert_eq!(names.len(), 1, "{names:?}");
}

#[tokio::test]
async fn few_descriptors_slow_it_down_and_do_not_end_it() {
    let world = World::new();
    let process = Process::start(&world, echoing().await, "ulimit -n 64; exec \"$@\"");
    let call = async |_| echo(&mut process.call(&world).await, "my turn").await;
    join_all((0..60).map(call)).await;
    assert!(process.log.try_iter().any(|line| line.contains("Stopped accepting")));
}

#[tokio::test]
async fn streams_past_readers_that_stop_leave_its_memory_alone() {
    const SIZE: usize = 64 << 20;
    let (world, (listener, addr)) = (World::new(), app().await);
    let process = Process::start(&world, addr, "exec \"$@\"");
    let router = process.call(&world).await;
    let instance = accept(&listener).await;
    let before = process.status("VmRSS:");
    let (mut router_reads, mut router_writes) = split(router);
    let (mut app_reads, mut app_writes) = split(instance);
    let mut up = tokio::spawn(async move { send(&mut router_writes, SIZE).await });
    let mut down = tokio::spawn(async move { send(&mut app_writes, SIZE).await });
    // Nobody reads until both senders are stuck, and then first one side, then the other.
    let stuck = Duration::from_millis(300);
    assert!(timeout(stuck, &mut up).await.is_err() && timeout(stuck, &mut down).await.is_err());
    assert_eq!(receive(&mut app_reads, SIZE).await, SIZE);
    assert_eq!(receive(&mut router_reads, SIZE).await, SIZE);
    up.await.unwrap();
    down.await.unwrap();
    let most = process.status("VmHWM:");
    assert!(most < before + 4 * 1024, "from {before} KiB to {most} KiB");
}

async fn send(to: &mut (impl AsyncWriteExt + Unpin), size: usize) {
    let chunk = vec![9; 64 * 1024];
    for _ in 0..size / chunk.len() {
        to.write_all(&chunk).await.unwrap();
    }
    to.flush().await.unwrap();
}

async fn receive(from: &mut (impl AsyncReadExt + Unpin), size: usize) -> usize {
    let (mut chunk, mut all) = (vec![0; 64 * 1024], 0);
    while all < size {
        match timeout(PATIENCE, from.read(&mut chunk)).await.expect("the stream goes on").unwrap() {
            0 => break,
            n => all += n,
        }
    }
    all
}

#[test]
fn the_program_knows_its_version() {
    let output = Command::new(PROGRAM).arg("--version").output().unwrap();
    assert!(output.status.success());
    assert!(String::from_utf8(output.stdout).unwrap().starts_with("trueroute-sidecar "));
}

#[test]
fn both_helps_name_what_can_be_asked_beforehand() {
    for words in [&["--help"][..], &["-c", "e.yaml", "--help"]] {
        let output = Command::new(PROGRAM).args(words).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert_eq!(text.matches("`explain` before the flags").count(), 1, "{words:?}: {text}");
    }
}

#[tokio::test]
async fn connections_cost_little_and_what_they_cost_is_given_back() {
    const CONNECTIONS: u64 = 300;
    let world = World::new();
    // Freed pages leave at once instead of after ten seconds, so that what is counted is what is held.
    let shell = "export _RJEM_MALLOC_CONF=dirty_decay_ms:0; exec \"$@\"";
    let process = Process::start(&world, echoing().await, shell);
    echo(&mut process.call(&world).await, "hello").await;
    let anonymous = || process.status("RssAnon:");
    let before = anonymous();
    let mut routers = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut router = process.call(&world).await;
        echo(&mut router, "hello").await;
        routers.push(router);
    }
    let each = || (anonymous() - before) / CONNECTIONS;
    assert!(each() <= 20, "{} KiB for a connection", each());
    // The TLS library keeps the room for one record where a large message came last.
    for router in &mut routers {
        echo(router, &"x".repeat(20_000)).await;
    }
    assert!(each() <= 40, "{} KiB for a connection after a large message", each());
    drop(routers);
    eventually(PATIENCE, async || anonymous() < before + 2 * 1024).await;
}

/// How many connections make a difference that stands out from the noise.
const MANY: usize = 300;

#[tokio::test]
async fn idle_connections_cost_little_whatever_they_carried_and_closed_ones_nothing() {
    let world = World::new();
    let process = Process::start(&world, echoing().await, "exec \"$@\"");
    // What is made once is not counted: the first handshake, the first large answer.
    bulk(&mut process.call(&world).await).await;
    let before = process.status("VmRSS:");
    let mut routers = Vec::new();
    for _ in 0..MANY {
        let mut router = process.call(&world).await;
        echo(&mut router, "hello").await;
        routers.push(router);
    }
    let idle = process.status("VmRSS:");
    for router in &mut routers {
        bulk(router).await;
    }
    let per_connection = |now: u64| now.saturating_sub(before) as f64 / MANY as f64;
    assert!(per_connection(idle) < 18.0, "{} KiB per idle connection", per_connection(idle));
    // The buffers that carried it go back once there was none for a second.
    eventually(PATIENCE, async || per_connection(process.status("VmRSS:")) < 18.0).await;
    drop(routers);
    eventually(PATIENCE, async || process.status("VmRSS:") < before + 2 * 1024).await;
}

/// Sends more than a few records and takes them back.
async fn bulk(router: &mut TlsStream<TcpStream>) {
    const SIZE: usize = 256 * 1024;
    let (mut reads, mut writes) = split(router);
    let sent = async { send(&mut writes, SIZE).await };
    let (received, ()) = tokio::join!(receive(&mut reads, SIZE), sent);
    assert_eq!(received, SIZE);
}

#[tokio::test]
async fn hup_reads_the_files_at_once() {
    let world = World::new();
    // Behind a link to a folder, which can be turned to another without a sign in the first.
    let (first, second, link) = (world.file("first"), world.file("second"), world.file("now"));
    for folder in [&first, &second] {
        std::fs::create_dir(folder).unwrap();
        world.instances.instance(&world.id).issue().write_to(folder, "instance");
        std::fs::copy(world.file("client-ca.crt"), folder.join("client-ca.crt")).unwrap();
    }
    std::os::unix::fs::symlink(&first, &link).unwrap();
    let mut command = Command::new(PROGRAM);
    command.args(["--listen", "127.0.0.1:0", "--app", &echoing().await.to_string(), "--reload-interval-ms", "3600000"]);
    command.arg("--cert").arg(link.join("instance.crt")).arg("--key").arg(link.join("instance.key"));
    command.arg("--client-ca").arg(link.join("client-ca.crt"));
    let process = Process::launch(command);
    let before = shown(&process.call(&world).await);
    std::fs::remove_file(&link).unwrap();
    std::os::unix::fs::symlink(&second, &link).unwrap();
    assert_eq!(shown(&process.call(&world).await), before);
    process.signal(Signal::HUP);
    eventually(PATIENCE, async || shown(&process.call(&world).await) != before).await;
}

#[tokio::test]
async fn usr1_and_a_page_open_the_access_log_again() {
    let (world, moved) = (World::new(), "moved");
    let (path, admin) = (world.file("access.log"), world.file("admin.sock"));
    let shell = format!("exec \"$@\" --access-log {} --admin {}", path.display(), admin.display());
    let process = Process::start(&world, echoing().await, &shell);
    let reopened = async || eventually(PATIENCE, async || path.exists()).await;
    std::fs::rename(&path, world.file(moved)).unwrap();
    process.signal(Signal::USR1);
    reopened().await;
    drop(process.call(&world).await);
    eventually(PATIENCE, async || std::fs::read_to_string(&path).unwrap().lines().count() == 1).await;
    std::fs::rename(&path, world.file(moved)).unwrap();
    let mut stream = UnixStream::connect(&admin).await.unwrap();
    stream.write_all(b"POST /reopen_logs HTTP/1.1\r\n\r\n").await.unwrap();
    reopened().await;
}

#[tokio::test]
async fn an_operator_changes_what_is_logged_and_finds_the_pages_by_a_file() {
    let container = Container::new();
    let config = container.write(&[Door::app(echoing().await)], Some(([127, 0, 0, 1], 0).into()));
    for (level, told) in [("debug", true), ("off", false)] {
        let path = container.file(level);
        let process = Process::in_envoys_place(&config, &["--admin-address-path", path.to_str().unwrap()]);
        let mut admin: Option<SocketAddr> = None;
        until(PATIENCE, || {
            admin = std::fs::read_to_string(&path).ok().and_then(|text| text.parse().ok());
            admin.is_some()
        });
        let post = async |target: &str| {
            let mut stream = TcpStream::connect(admin.unwrap()).await.unwrap();
            stream.write_all(format!("POST {target} HTTP/1.1\r\n\r\n").as_bytes()).await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            answer
        };
        assert!(post("/logging").await.ends_with("active loggers:\n  trueroute_sidecar: info\n"));
        assert!(post("/logging?foo=debug").await.starts_with("HTTP/1.1 400 "));
        assert!(post("/logging?level=loud").await.starts_with("HTTP/1.1 400 "));
        assert!(
            post(&format!("/logging?paths=main:{level}")).await.ends_with(&format!("trueroute_sidecar: {level}\n"))
        );
        assert!(post("/quitquitquit").await.ends_with("OK\n"));
        let (status, log) = process.ends();
        assert_eq!(status.code(), Some(0));
        assert_eq!(log.iter().any(|line| line.contains("Asked to quit")), told, "{level}: {log:?}");
    }
}
