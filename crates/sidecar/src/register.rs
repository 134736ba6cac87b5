//! Makes the instance known to routers over NATS, and unknown again at the end.
//!
//! Owns the connection to NATS and nothing of the traffic: whatever happens here, connections are served. Promises:
//! a registration is sent as soon as there are both a connection and a certificate, again after every reconnect, and at
//! the interval that the routers ask for; none is sent while the certificate says that the instance is draining; the
//! end is told several times.

use std::{sync::Arc, time::Duration};

use async_nats::{Client, ConnectOptions, Event as LinkEvent, Message, Subscriber, connection::State};
use futures_util::StreamExt;
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;

pub(crate) mod cadence;
pub(crate) mod message;

use self::{
    cadence::{Cadence, Greeting},
    message::Payload,
};
use crate::{
    log::chain,
    presented::Standing,
    settings::{Mode, NatsServer, Registration},
    stats::{Event, Stats},
};

const REGISTER: &str = "router.register";
const UNREGISTER: &str = "router.unregister";
const GREET: &str = "router.greet";
const START: &str = "router.start";

/// No single exchange with NATS may take longer: at the end of the process it would hold up the drain.
const PATIENCE: Duration = Duration::from_secs(1);

/// Pause before each attempt to connect, in milliseconds: spread, so that the instances of a cell don't return as one.
const RETRY_MS: std::ops::Range<u64> = 250..750;

/// Why NATS can not be set up at all.
#[derive(Debug, thiserror::Error)]
pub enum SetUpError {
    /// No server was named.
    #[error("no NATS server is named")]
    NoServer,
    /// Two servers were named with different logins; the client library knows one login per connection.
    #[error("the NATS servers {0} and {1} have different logins")]
    TwoLogins(String, String),
    /// The registration can not be written as JSON.
    #[error("the registration can not be encoded")]
    Encode(#[from] serde_json::Error),
}

/// What registers one instance.
#[derive(Debug)]
pub(crate) struct Registrar {
    registration: Registration,
    payload: Payload,
    standing: watch::Receiver<Standing>,
    stats: Arc<Stats>,
}

impl Registrar {
    /// Prepares the message for an instance whose first listener is bound to port `bound` in `mode`.
    pub(crate) fn new(
        registration: Registration,
        bound: u16,
        mode: &Mode,
        standing: watch::Receiver<Standing>,
        stats: Arc<Stats>,
    ) -> Result<Self, SetUpError> {
        one_login(&registration.servers)?;
        let payload = Payload::new(&registration, bound, mode)?;
        Ok(Self { registration, payload, standing, stats })
    }

    /// Registers until `until` is cancelled, then unregisters. Ends soon after, NATS or no NATS.
    pub(crate) async fn run(self, until: CancellationToken) {
        let (tell, told) = mpsc::unbounded_channel();
        let options = options(&self.registration, tell);
        let addresses: Vec<_> = self.registration.servers.iter().map(|server| server.address.clone()).collect();
        // With retries from the start this does not wait for a server.
        let client = match options.connect(addresses).await {
            Ok(client) => client,
            Err(error) => {
                tracing::error!(problem = chain(&error), "Could not set up NATS: this instance is not registered");
                return until.cancelled().await;
            }
        };
        let mut session = Session::new(self, client);
        if until.run_until_cancelled(session.converse(told)).await.is_none() {
            session.farewell().await;
        }
    }
}

/// The servers' one login.
fn one_login(servers: &[NatsServer]) -> Result<Option<(&str, &str)>, SetUpError> {
    let first = servers.first().ok_or(SetUpError::NoServer)?;
    match servers.iter().find(|server| server.login != first.login) {
        Some(other) => Err(SetUpError::TwoLogins(first.to_string(), other.to_string())),
        None => Ok(first.login()),
    }
}

fn options(registration: &Registration, tell: mpsc::UnboundedSender<LinkEvent>) -> ConnectOptions {
    let options = ConnectOptions::new()
        .name(format!("trueroute-sidecar {}", registration.instance_id))
        .retry_on_initial_connect()
        .max_reconnects(None)
        .ignore_discovered_servers()
        .ping_interval(Duration::from_secs(20))
        .connection_timeout(Duration::from_secs(5))
        // A registrar has few words to say and few to hear; the defaults reserve room for thousands.
        .client_capacity(16)
        .subscription_capacity(16)
        .reconnect_delay_callback(|_| Duration::from_millis(fastrand::u64(RETRY_MS)))
        .event_callback(move |event| {
            // Without a listener the registrar has ended, and so has the reason to tell.
            let _ = tell.send(event);
            std::future::ready(())
        });
    // The library takes the address out of a URL but not the login.
    match one_login(&registration.servers) {
        Ok(Some((user, password))) => options.user_and_password(user.to_owned(), password.to_owned()),
        _ => options,
    }
}

/// One registrar talking to NATS.
struct Session {
    client: Client,
    payload: Payload,
    cadence: Cadence,
    standing: watch::Receiver<Standing>,
    stats: Arc<Stats>,
    farewell: crate::settings::Farewell,
    registered: bool,
    /// The last problem with the link that was told, so that a thousand attempts at a dead server are one line.
    told: String,
}

impl Session {
    fn new(registrar: Registrar, client: Client) -> Self {
        let Registrar { registration, payload, standing, stats } = registrar;
        let farewell = registration.farewell;
        Self {
            client,
            payload,
            cadence: Cadence::default(),
            standing,
            stats,
            farewell,
            registered: false,
            told: String::new(),
        }
    }

    /// Listens and speaks until dropped.
    async fn converse(&mut self, mut link: mpsc::UnboundedReceiver<LinkEvent>) {
        let inbox = self.client.new_inbox();
        let mut starts = self.subscribe(START).await;
        let mut replies = self.subscribe(&inbox).await;
        loop {
            let (greet_at, register_at) = (self.cadence.greet_at(), self.cadence.register_at());
            tokio::select! {
                Some(event) = link.recv() => self.on_link(event),
                Some(message) = next(&mut starts) => self.on_start(&message),
                Some(message) = next(&mut replies) => self.on_reply(&message),
                Ok(()) = self.standing.changed() => self.on_standing().await,
                () = at(greet_at) => self.greet(&inbox).await,
                () = at(register_at) => self.register().await,
            }
        }
    }

    async fn subscribe(&self, subject: &str) -> Option<Subscriber> {
        let subscribed = self.client.subscribe(subject.to_owned()).await;
        subscribed.inspect_err(|error| tracing::error!(subject, problem = chain(error), "Could not subscribe")).ok()
    }

    fn on_link(&mut self, event: LinkEvent) {
        match event {
            LinkEvent::Connected => {
                tracing::info!("Connected to NATS");
                self.told.clear();
                self.cadence.connected(Instant::now());
            }
            LinkEvent::Disconnected => {
                tracing::warn!("Lost NATS: traffic goes on, and routers keep what they know");
                self.cadence.disconnected();
            }
            LinkEvent::ServerError(error) => tracing::warn!(problem = chain(&error), "NATS reported an error"),
            LinkEvent::ClientError(error) => {
                let problem = error.to_string();
                if problem != self.told {
                    tracing::warn!(problem, "Could not reach NATS: trying on");
                    self.told = problem;
                }
            }
            other => tracing::debug!(event = %other, "NATS link event"),
        }
    }

    fn on_start(&mut self, message: &Message) {
        match Greeting::parse(&message.payload) {
            Some(greeting) => self.cadence.started(&greeting, Instant::now(), fastrand::f64()),
            None => tracing::warn!(subject = START, "Ignored a message that is not a router's greeting"),
        }
    }

    fn on_reply(&mut self, message: &Message) {
        // While no router listens, NATS itself replies, with a status and nothing else.
        if message.status.is_some() {
            return;
        }
        match Greeting::parse(&message.payload) {
            Some(greeting) => self.cadence.greeted(&greeting, Instant::now(), fastrand::f64()),
            None => tracing::warn!(subject = GREET, "Ignored a message that is not a router's greeting"),
        }
    }

    async fn on_standing(&mut self) {
        let standing = *self.standing.borrow_and_update();
        match standing {
            Standing::InForce if !self.registered => self.register().await,
            Standing::Draining if self.registered => self.unregister().await,
            _ => {}
        }
    }

    async fn greet(&mut self, inbox: &str) {
        self.cadence.asked(Instant::now());
        let asked = self.client.publish_with_reply(GREET, inbox.to_owned(), "".into());
        let _ = timeout(PATIENCE, asked).await;
    }

    /// Sends one registration if there is a connection and a certificate to register.
    async fn register(&mut self) {
        self.cadence.registered(Instant::now(), fastrand::f64());
        if *self.standing.borrow() != Standing::InForce || !self.publish(REGISTER).await {
            return;
        }
        self.stats.count(Event::Registered);
        if !std::mem::replace(&mut self.registered, true) {
            tracing::info!(every_s = self.cadence.interval().as_secs(), "Registered");
        }
    }

    /// Tells the end as often as the settings say.
    async fn unregister(&mut self) {
        self.registered = false;
        for round in 0..self.farewell.times {
            if round > 0 {
                sleep(self.farewell.gap).await;
            }
            if self.publish(UNREGISTER).await {
                self.stats.count(Event::Unregistered);
            }
        }
    }

    async fn farewell(&mut self) {
        self.unregister().await;
        match timeout(PATIENCE, self.client.flush()).await {
            Ok(Ok(())) => tracing::info!("Unregistered"),
            _ => tracing::warn!("Could not unregister: NATS does not answer"),
        }
    }

    /// Whether the message was handed to a live connection. Without one nothing is queued: at the return of NATS a
    /// fresh registration is sent anyway, and old ones would only come late.
    async fn publish(&self, subject: &'static str) -> bool {
        if self.client.connection_state() != State::Connected {
            return false;
        }
        let published = self.client.publish(subject, self.payload.bytes());
        matches!(timeout(PATIENCE, published).await, Ok(Ok(())))
    }
}

async fn at(when: Option<Instant>) {
    match when {
        Some(when) => sleep_until(when).await,
        None => std::future::pending().await,
    }
}

async fn next(subscriber: &mut Option<Subscriber>) -> Option<Message> {
    subscriber.as_mut()?.next().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_share_one_login_or_are_refused() {
        let servers = |urls: &[&str]| urls.iter().map(|url| url.parse().unwrap()).collect::<Vec<NatsServer>>();
        assert_eq!(one_login(&servers(&["nats://u:p@a", "nats://u:p@b"])).unwrap(), Some(("u", "p")));
        assert_eq!(one_login(&servers(&["nats://a", "b:1"])).unwrap(), None);
        assert!(matches!(one_login(&servers(&["nats://u:p@a", "nats://b"])), Err(SetUpError::TwoLogins(..))));
        assert!(matches!(one_login(&[]), Err(SetUpError::NoServer)));
    }
}
