//! How the admin pages are reached, and by whom they are not disturbed.

use tokio::{
    io::AsyncWriteExt,
    net::{TcpStream, UnixStream},
};
use trueroute_sidecar::{
    Settings, Sidecar,
    settings::{Admin, AdminAddress},
};

use super::{
    admin::{Scene, ask},
    scene::{Running, World, echoing, rest},
};

#[tokio::test]
async fn pages_answer_on_a_unix_socket_and_replace_what_a_process_left_there() {
    let world = World::new();
    let path = world.file("admin.sock");
    for _ in 0..2 {
        let admin = Some(Admin::new(AdminAddress::Socket(path.clone())));
        let settings = Settings { admin, ..world.settings(echoing().await, world.strict()) };
        let sidecar = Running::start(settings).await;
        let stream = UnixStream::connect(&path).await.unwrap();
        assert_eq!(ask(stream, "GET", "/ready").await, (200, "LIVE\n".to_owned()));
        // Nobody else takes the socket while somebody answers there.
        let admin = Some(Admin::new(AdminAddress::Socket(path.clone())));
        let settings = Settings { admin, ..world.settings(echoing().await, world.strict()) };
        let error = Sidecar::bind(settings).await.unwrap_err();
        assert!(error.to_string().contains("admin.sock"), "{error}");
        sidecar.ends_at_once().await;
    }
}

#[tokio::test]
async fn broken_and_slow_visitors_cost_only_themselves() {
    let scene = Scene::new().await;
    let admin = scene.sidecar.admin.unwrap();
    let mut broken = TcpStream::connect(admin).await.unwrap();
    broken.write_all(b"\x16\x03\x01 nonsense\r\n\r\n").await.unwrap();
    let answer = rest(&mut broken).await.unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 400 "), "{}", String::from_utf8_lossy(&answer));
    let mut silent = Vec::new();
    for _ in 0..8 {
        silent.push(TcpStream::connect(admin).await.unwrap());
    }
    assert_eq!(scene.curl("/ready").await, "LIVE\n");
    scene.request().await;
}
