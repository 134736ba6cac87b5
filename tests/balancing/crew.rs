//! Several instances of one app behind a route.

use std::time::Duration;

use serde_json::{Value, json};
use trueroute_testkit::{App, Registration, app::Reply, client::Request};

use super::{
    scene::{APP_ID, recorded},
    support::{RouterBuilder, RouterUnderTest},
};

/// The route that they serve.
pub(crate) const HOST: &str = "crew.example.com";

/// A router, and apps named `0`, `1`, ... behind [`HOST`].
pub(crate) struct Crew {
    pub(crate) router: RouterUnderTest,
    pub(crate) apps: Vec<App>,
}

/// The settings of the recorded exchanges, kept connections aside.
pub(crate) fn router() -> RouterBuilder {
    recorded().set("disable_keep_alives", false)
}

impl Crew {
    /// So many apps that answer with their names, registered with these `options`.
    pub(crate) async fn of(count: usize, router: RouterBuilder, options: Value) -> Self {
        let crew = Self { router: router.start().await, apps: (0..count).map(app).collect() };
        for number in 0..count {
            crew.router.register(&crew.registration(number, &options)).await;
        }
        crew
    }

    /// How an app registers.
    pub(crate) fn registration(&self, number: usize, options: &Value) -> Registration {
        let message = Registration::plain(self.apps[number].addr()).app(APP_ID).instance(&instance(number)).uri(HOST);
        message.index(number as u32).field("options", options.clone())
    }

    /// The names of those that answer so many requests.
    pub(crate) async fn answers(&self, count: usize, fields: &[(&str, &str)]) -> Vec<usize> {
        let mut names = Vec::new();
        let mut client = self.router.client().await;
        for _ in 0..count {
            let request = Request::new("GET", "/").host(HOST);
            let request = fields.iter().fold(request, |request, (name, value)| request.header(name, value));
            let response = client.request(request).await.unwrap();
            assert_eq!(response.status, 200, "{}", response.text());
            names.push(response.text().parse().unwrap());
        }
        names
    }

    /// How many of so many requests each app got.
    pub(crate) async fn shares(&self, count: usize) -> Vec<usize> {
        let answers = self.answers(count, &[]).await;
        (0..self.apps.len()).map(|app| answers.iter().filter(|name| **name == app).count()).collect()
    }

    /// Keeps one app busy with a request that names it; it ends when the app is released.
    pub(crate) async fn occupy(&self, number: usize) -> tokio::task::JoinHandle<u16> {
        let (app, before) = (&self.apps[number], self.apps[number].requests());
        let mut client = self.router.client().await;
        let request =
            Request::new("GET", "/wait").host(HOST).header("X-CF-App-Instance", &format!("{APP_ID}:{number}"));
        let waiting = tokio::spawn(async move { client.request(request).await.unwrap().status });
        trueroute_testkit::eventually(Duration::from_secs(20), async || app.requests() > before).await;
        waiting
    }
}

fn app(number: usize) -> App {
    let name = number.to_string();
    let rule = move |request: &trueroute_testkit::app::Received| {
        let named = Reply::text(&name);
        match request.path() {
            "/wait" => named.after_release(),
            "/reset" => Reply::Reset,
            _ => named,
        }
    };
    App::builder(&number.to_string()).instance(&instance(number)).rule(rule).start()
}

/// The instance id of an app.
pub(crate) fn instance(number: usize) -> String {
    format!("0a1b2c3d-0000-4000-8000-0000000001{number:02}")
}

/// `options` of a registration that ask for an algorithm.
pub(crate) fn asks(algorithm: &str) -> Value {
    json!({ "loadbalancing": algorithm })
}
