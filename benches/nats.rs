//! A running router and a real nats-server: what a platform's registrations cost, and whether they serve.
//!
//! `cargo bench --bench nats` starts the program with a configuration of its own and prints, for 100,000 and for
//! 1,000,000 routes with an instance and 12 tags each: the CPU time from the first message until the last is in the
//! table, a heartbeat of all, resident memory over the empty router, requests to the first, the last and some routes in
//! the middle, the `/routes` page, and what is left after all have been unregistered. `cargo bench --bench nats -- 100000`
//! does one size, and `TRUEROUTE_BIN` names another program to measure. Without a nats-server on the path (or in `NATS_SERVER_BIN`) it says so and measures nothing.

use std::{
    env,
    error::Error,
    fs,
    io::{self, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use trueroute_testkit::{RealNats, ReservedPort, Tempdir};

mod platform;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Messages that are on their way at once: fewer than the router keeps in its queue, as components spread theirs.
const BURST: usize = 100_000;
/// How long one step may take.
const PATIENCE: Duration = Duration::from_secs(120);
const MIB: f64 = 1024.0 * 1024.0;
/// User and password of the status ports, as `Authorization` wants them.
const LOGIN: &str = "Basic c3RhdHVzOnNlY3JldA==";

fn main() -> Outcome<()> {
    let asked = env::args().skip(1).find_map(|argument| argument.parse().ok());
    let Some(nats) = RealNats::start_if_found() else {
        println!("no nats-server on the path and none in NATS_SERVER_BIN: nothing is measured");
        return Ok(());
    };
    for routes in asked.map_or(vec![100_000, 1_000_000], |routes| vec![routes]) {
        measure(&nats, routes)?;
    }
    Ok(())
}

fn measure(nats: &RealNats, routes: usize) -> Outcome<()> {
    let answering = answer()?;
    let samples = [0, routes / 3, routes / 2, routes - 1];
    let message = |n: usize| match samples.contains(&n) {
        true => platform::message_of(n, n, &format!(r#""host":"127.0.0.1","port":{}"#, answering.port())),
        false => platform::message(n),
    };
    let router = Router::start(nats)?;
    let empty = router.settled()?;
    println!("{routes} routes over an empty router of {:.1} MiB", empty.resident as f64 / MIB);

    let full = router.told(nats, "router.register", routes, &message, routes)?;
    println!("  ingest:     {:.2} s of CPU in {:.2} s", full.cpu, full.wall);
    let again = router.told(nats, "router.register", routes, &message, routes)?;
    println!(
        "  heartbeats: {:.2} s of CPU in {:.2} s, {:.1} us each",
        again.cpu,
        again.wall,
        again.cpu * 1e6 / routes as f64
    );
    let resident = router.settled()?.resident.saturating_sub(empty.resident);
    println!("  resident:   {:.1} MiB, {} bytes per route", resident as f64 / MIB, resident / routes);

    for n in samples {
        let begun = Instant::now();
        let head =
            ask(router.http, &format!("GET / HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", platform::host(n)))?;
        let status = String::from_utf8_lossy(&head).lines().next().unwrap_or_default().to_owned();
        println!("  route {n}: {status} in {:.1} ms", begun.elapsed().as_secs_f64() * 1e3);
        if !status.contains("200") {
            return Err(format!("route {n} does not serve").into());
        }
    }
    let begun = (Instant::now(), router.cpu()?);
    let page = ask(
        router.routes,
        &format!("GET /routes HTTP/1.1\r\nHost: router\r\nAuthorization: {LOGIN}\r\nConnection: close\r\n\r\n"),
    )?;
    println!(
        "  /routes:    {:.0} MiB in {:.2} s, {:.2} s of CPU",
        page.len() as f64 / MIB,
        begun.0.elapsed().as_secs_f64(),
        router.cpu()? - begun.1
    );
    let gone = router.told(nats, "router.unregister", routes, &message, 0)?;
    let left = router.settled()?.resident.saturating_sub(empty.resident);
    println!("  all gone:   {:.2} s of CPU; {:.1} MiB are left", gone.cpu, left as f64 / MIB);
    Ok(())
}

/// The program under measurement. Dropping it kills it.
struct Router {
    child: Child,
    http: SocketAddr,
    routes: SocketAddr,
    metrics: SocketAddr,
    _ports: Vec<ReservedPort>,
    _dir: Tempdir,
}

/// What a step cost, in seconds.
struct Cost {
    cpu: f64,
    wall: f64,
}

struct Rest {
    resident: usize,
}

impl Router {
    fn start(nats: &RealNats) -> Outcome<Self> {
        let (dir, ports) = (Tempdir::new()?, (0..4).map(|_| ReservedPort::new()).collect::<Vec<_>>());
        let [http, status, routes, metrics] = [0, 1, 2, 3].map(|at: usize| ports[at].addr());
        let settings = serde_json::json!({
            "port": http.port(),
            "status": {"port": status.port(), "user": "status", "pass": "secret", "routes": {"port": routes.port()}},
            "prometheus": {"enabled": true, "port": metrics.port()},
            "nats": {"hosts": [{"hostname": "127.0.0.1", "port": nats.port()}]},
            "start_response_delay_interval": "0s",
            "load_balancer_healthy_threshold": "0s",
            "logging": {"level": "error"},
        });
        let file = dir.path().join("gorouter.yml");
        fs::write(&file, settings.to_string())?;
        let program = env::var_os("TRUEROUTE_BIN").unwrap_or_else(|| env!("CARGO_BIN_EXE_trueroute").into());
        let mut command = Command::new(program);
        let child = command.arg("-c").arg(&file).stdout(Stdio::null()).spawn()?;
        let router = Self { child, http, routes, metrics, _ports: ports, _dir: dir };
        router.wait("the router does not start", || Ok(TcpStream::connect(http).is_ok() && router.known().is_ok()))?;
        Ok(router)
    }

    /// Publishes the message of each route and waits until the router knows `wanted` routes and has come to rest.
    fn told(
        &self,
        nats: &RealNats,
        subject: &str,
        routes: usize,
        message: &dyn Fn(usize) -> String,
        wanted: usize,
    ) -> Outcome<Cost> {
        let (begun, cpu) = (Instant::now(), self.cpu()?);
        let mut at = 0;
        while at < routes {
            let until = routes.min(at + BURST);
            publish(nats.addr(), subject, at..until, message)?;
            at = until;
            self.rests()?;
        }
        let cost = Cost { cpu: self.cpu()? - cpu, wall: begun.elapsed().as_secs_f64() };
        // The figure is renewed some times a minute.
        let wrong = format!("the router does not come to know {wanted} routes");
        self.wait(&wrong, || Ok(self.known()? == wanted))?;
        Ok(cost)
    }

    /// Waits until it has nothing to do.
    fn rests(&self) -> Outcome<()> {
        let mut before = self.cpu()?;
        self.wait("the router does not come to rest", || {
            pause(200);
            let now = self.cpu()?;
            let rests = now - before < 0.01;
            before = now;
            Ok(rests)
        })
    }

    /// Memory, when its allocator has had the time (ten seconds) to give back what is free.
    fn settled(&self) -> Outcome<Rest> {
        pause(13_000);
        let pages = fs::read_to_string(format!("/proc/{}/statm", self.child.id()))?;
        Ok(Rest { resident: pages.split(' ').nth(1).unwrap_or("0").parse::<usize>()? * 4096 })
    }

    /// Seconds of CPU of all its threads.
    fn cpu(&self) -> Outcome<f64> {
        let mut nanoseconds = 0;
        for task in fs::read_dir(format!("/proc/{}/task", self.child.id()))? {
            // A thread may end between the two.
            let times = fs::read_to_string(task?.path().join("schedstat")).unwrap_or_default();
            nanoseconds += times.split(' ').next().and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
        }
        Ok(nanoseconds as f64 / 1e9)
    }

    /// How many routes it knows.
    fn known(&self) -> Outcome<usize> {
        let page = ask(self.metrics, "GET /metrics HTTP/1.1\r\nHost: router\r\nConnection: close\r\n\r\n")?;
        let page = String::from_utf8_lossy(&page);
        let value = page.lines().find_map(|line| line.strip_prefix("total_routes "));
        Ok(value.ok_or("no total_routes")?.trim().parse::<f64>()? as usize)
    }

    fn wait(&self, otherwise: &str, mut until: impl FnMut() -> Outcome<bool>) -> Outcome<()> {
        let begun = Instant::now();
        while !until()? {
            if begun.elapsed() > PATIENCE {
                return Err(otherwise.into());
            }
            pause(50);
        }
        Ok(())
    }
}

impl Drop for Router {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn pause(ms: u64) {
    let begun = Instant::now();
    while let Some(left) = Duration::from_millis(ms).checked_sub(begun.elapsed()).filter(|left| !left.is_zero()) {
        thread::park_timeout(left);
    }
}

/// Publishes the messages of `range` over one connection, and returns when the server has taken them.
fn publish(
    nats: SocketAddr,
    subject: &str,
    range: std::ops::Range<usize>,
    message: &dyn Fn(usize) -> String,
) -> Outcome<()> {
    let mut stream = TcpStream::connect(nats)?;
    let mut out = io::BufWriter::with_capacity(1 << 16, stream.try_clone()?);
    out.write_all(b"CONNECT {\"verbose\":false}\r\n")?;
    for n in range {
        let message = message(n);
        write!(out, "PUB {subject} {}\r\n{message}\r\n", message.len())?;
    }
    out.write_all(b"PING\r\n")?;
    out.flush()?;
    let mut heard = Vec::new();
    let mut part = [0; 4096];
    while !heard.windows(4).any(|word| word == b"PONG") {
        let read = stream.read(&mut part)?;
        heard.extend_from_slice(&part[..read]);
        if read == 0 || heard.windows(4).any(|word| word == b"-ERR") {
            return Err(String::from_utf8_lossy(&heard).into_owned().into());
        }
    }
    Ok(())
}

/// All that comes back for a request.
fn ask(address: SocketAddr, request: &str) -> Outcome<Vec<u8>> {
    let mut stream = TcpStream::connect(address)?;
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(answer)
}

/// An app that answers every connection once.
fn answer() -> io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let mut stream = stream;
            let mut head = [0; 4096];
            let _ = stream.read(&mut head);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok");
        }
    });
    Ok(address)
}
