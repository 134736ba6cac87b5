//! `app NAME PORT`: an app on 127.0.0.1 that answers every request with its name and what it was asked.
//!
//! For docker-compose.yml, where a sidecar shares the network of each. Ends when it is killed.
#![allow(clippy::print_stderr, reason = "a program speaks to its terminal")]

use std::process::ExitCode;

use trueroute_testkit::{App, app::Reply};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [name, port] = arguments.as_slice() else {
        eprintln!("app NAME PORT");
        return ExitCode::from(2);
    };
    let Ok(port) = port.parse() else {
        eprintln!("app: {port} is not a port");
        return ExitCode::from(2);
    };
    let answer = {
        let name = name.clone();
        move |request: &trueroute_testkit::app::Received| {
            Reply::text(&format!("{name} answers {} {}\n", request.method, request.target))
        }
    };
    let app = App::builder(name).port(port).rule(answer).start();
    eprintln!("{name} listens on {}", app.addr());
    loop {
        std::thread::park();
    }
}
