//! The static build where Diego's executor runs it: in a root file system that holds a shell, the program and the files
//! of the container, and nothing else.
//!
//! Ignored, because it needs a static build of the program; the step `static sidecar` of `.ci/run` makes one and runs
//! this.

use std::{
    fs,
    os::unix::{
        fs::symlink,
        process::{CommandExt, ExitStatusExt},
    },
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
};

use rustix::process::{Pid, Signal, geteuid, kill_process, kill_process_group};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use trueroute_testkit::{ReservedPort, Tempdir, eventually};

use super::{
    diego::{Container, Door},
    scene::{PATIENCE, echo, echoing, shown},
};

/// The shell's words, as the executor writes them (sidecar.md section 1.5).
const LINE: &str = "trap 'kill -9 0' TERM; /etc/cf-assets/envoy/envoy -c /etc/cf-assets/envoy_config/envoy.yaml \
                    --drain-time-s 900 --log-level critical& pid=$!; wait $pid";

/// A root file system that holds nothing that is not named here.
struct Root(Tempdir);

impl Root {
    fn new() -> Self {
        let root = Self(Tempdir::new().unwrap());
        for folder in ["bin", "dev", "etc/cf-assets/envoy"] {
            fs::create_dir_all(root.path(folder)).unwrap();
        }
        // What a shell gives to a program in the background to read from.
        fs::write(root.path("dev/null"), "").unwrap();
        fs::copy(named("STATIC_SHELL"), root.path("bin/sh")).unwrap();
        fs::copy(named("STATIC_SIDECAR"), root.path("etc/cf-assets/envoy/envoy")).unwrap();
        root
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// A container's folder of files, where the executor mounts it.
    fn container(&self) -> Container {
        let container = Container::within(&self.path("etc/cf-assets"));
        let folder = container.file("");
        symlink(folder.file_name().unwrap(), self.path("etc/cf-assets/envoy_config")).unwrap();
        container
    }

    /// The paths in `config` as they are inside.
    fn turn_inward(&self, config: &Path) {
        let text = fs::read_to_string(config).unwrap();
        fs::write(config, text.replace(self.0.path().to_str().unwrap(), "")).unwrap();
    }

    /// A command inside, in a process group of its own and with no environment.
    fn command(&self, words: &[&str]) -> Command {
        let mut command = if geteuid().is_root() {
            let mut command = Command::new("chroot");
            command.arg(self.0.path());
            command
        } else {
            let mut command = Command::new("unshare");
            command.arg("--map-root-user").arg("--root").arg(self.0.path());
            command
        };
        command.args(words).env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        command.process_group(0).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }
}

/// A file that a variable names.
fn named(variable: &str) -> PathBuf {
    std::env::var_os(variable).unwrap_or_else(|| panic!("{variable} names a static program")).into()
}

/// What runs inside; dropping it ends the whole group.
struct Inside(Option<Child>);

impl Inside {
    fn pid(&self) -> Pid {
        Pid::from_child(self.0.as_ref().unwrap())
    }

    fn ends(mut self) -> Output {
        self.0.take().unwrap().wait_with_output().unwrap()
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        if self.0.is_some() {
            let _ = kill_process_group(self.pid(), Signal::KILL);
        }
    }
}

async fn call(container: &Container, port: &ReservedPort) -> Option<TlsStream<TcpStream>> {
    let (tls, tcp) = (container.router(), TcpStream::connect(port.addr()).await.ok()?);
    TlsConnector::from(tls.config()).connect(tls.server_name(), tcp).await.ok()
}

async fn page(port: &ReservedPort, target: &str) -> String {
    let mut stream = TcpStream::connect(port.addr()).await.unwrap();
    stream.write_all(format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
#[ignore = "needs STATIC_SIDECAR and STATIC_SHELL: .ci/run builds and runs it"]
async fn in_a_bare_root_file_system_the_executors_line_serves_renews_and_ends() {
    let root = Root::new();
    let version = root.command(&["/etc/cf-assets/envoy/envoy", "--version"]).output().unwrap();
    assert!(String::from_utf8_lossy(&version.stdout).starts_with("envoy  version: "), "{version:?}");

    let (container, port, admin) = (root.container(), ReservedPort::new(), ReservedPort::new());
    let door = Door { port: port.port(), ..Door::app(echoing().await) };
    root.turn_inward(&container.write(&[door], Some(admin.addr())));
    let inside = Inside(Some(root.command(&["/bin/sh", "-c", LINE]).spawn().unwrap()));
    eventually(PATIENCE, async || call(&container, &port).await.is_some()).await;
    let mut router = call(&container, &port).await.unwrap();
    echo(&mut router, "hello").await;
    assert!(page(&admin, "/ready").await.ends_with("LIVE\n"));

    // The watch works there, and open connections stay.
    container.put("id", &container.instances.instance(&container.id).issue());
    let before = shown(&router);
    eventually(PATIENCE, async || call(&container, &port).await.is_some_and(|stream| shown(&stream) != before)).await;
    echo(&mut router, "still there").await;

    // The trap takes the group with it, which is all that ever ends a sidecar there.
    kill_process(inside.pid(), Signal::TERM).unwrap();
    let output = inside.ends();
    assert_eq!(output.status.signal(), Some(Signal::KILL.as_raw()), "{output:?}");
    assert!(output.stdout.is_empty() && output.stderr.is_empty(), "nothing to complain of: {output:?}");
    eventually(PATIENCE, async || TcpStream::connect(port.addr()).await.is_err()).await;
}
