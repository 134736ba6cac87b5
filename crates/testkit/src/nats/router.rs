//! Who subscribed to what, what was published, and the faults in force.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::subject;

/// More than this unsent, and a client is thrown out, as a real server does with its 64 MiB.
const MAX_PENDING: usize = 64 * 1024 * 1024;
const REMEMBERED: usize = 100_000;

/// A message that a client published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// Subject.
    pub subject: String,
    /// Where an answer goes.
    pub reply: Option<String>,
    /// Payload.
    pub payload: Vec<u8>,
}

/// What a session's writer gets to write, and when at the earliest.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) bytes: Vec<u8>,
    pub(super) not_before: Option<Instant>,
}

#[derive(Debug)]
pub(super) struct Router {
    pub(super) port: u16,
    pub(super) login: Option<(String, String)>,
    pub(super) max_payload: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    last_id: u64,
    let_in: u64,
    sessions: BTreeMap<u64, Session>,
    published: VecDeque<Published>,
    drops: Vec<Drops>,
    delays: Vec<(String, Duration)>,
    silent: bool,
    turn: usize,
}

#[derive(Debug)]
struct Session {
    out: UnboundedSender<Outgoing>,
    pending: usize,
    leave: CancellationToken,
    let_in: bool,
    subscriptions: HashMap<String, Subscription>,
}

#[derive(Debug)]
struct Subscription {
    subject: String,
    group: Option<String>,
    delivered: u64,
    max: Option<u64>,
}

#[derive(Debug)]
struct Drops {
    pattern: String,
    nth: u64,
    seen: u64,
}

impl Router {
    pub(super) fn new(port: u16, login: Option<(String, String)>, max_payload: usize) -> Self {
        Self { port, login, max_payload, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder panics")
    }

    pub(super) fn enter(&self, out: UnboundedSender<Outgoing>, leave: CancellationToken) -> u64 {
        let mut state = self.state();
        state.last_id += 1;
        let id = state.last_id;
        let session = Session { out, pending: 0, leave, let_in: false, subscriptions: HashMap::new() };
        state.sessions.insert(id, session);
        id
    }

    pub(super) fn let_in(&self, id: u64) {
        let mut state = self.state();
        state.let_in += 1;
        if let Some(session) = state.sessions.get_mut(&id) {
            session.let_in = true;
        }
    }

    pub(super) fn leave(&self, id: u64) {
        self.state().sessions.remove(&id);
    }

    pub(super) fn clients(&self) -> usize {
        self.state().sessions.values().filter(|session| session.let_in).count()
    }

    pub(super) fn clients_ever(&self) -> u64 {
        self.state().let_in
    }

    pub(super) fn subscriptions(&self) -> Vec<String> {
        let state = self.state();
        let all = state.sessions.values().flat_map(|session| session.subscriptions.values());
        let mut subjects: Vec<String> = all.map(|subscription| subscription.subject.clone()).collect();
        subjects.sort();
        subjects
    }

    pub(super) fn published(&self, pattern: &str) -> Vec<Published> {
        let state = self.state();
        state.published.iter().filter(|message| subject::matches(pattern, &message.subject)).cloned().collect()
    }

    pub(super) fn subscribe(&self, id: u64, subject: String, group: Option<String>, sid: String) {
        if let Some(session) = self.state().sessions.get_mut(&id) {
            session.subscriptions.insert(sid, Subscription { subject, group, delivered: 0, max: None });
        }
    }

    /// With `max` the subscription ends once it has got so many messages in all, which may be now.
    pub(super) fn unsubscribe(&self, id: u64, sid: &str, max: Option<u64>) {
        let mut state = self.state();
        let Some(session) = state.sessions.get_mut(&id) else { return };
        let Some(subscription) = session.subscriptions.get_mut(sid) else { return };
        subscription.max = max.filter(|max| *max > subscription.delivered);
        if subscription.max.is_none() {
            session.subscriptions.remove(sid);
        }
    }

    /// Answers one session, unless the server has fallen silent.
    pub(super) fn answer(&self, id: u64, bytes: &[u8]) {
        let mut state = self.state();
        if !state.silent {
            state.send(id, bytes.to_vec(), None);
        }
    }

    pub(super) fn publish(&self, from: u64, no_echo: bool, subject: &str, reply: Option<&str>, payload: &[u8]) {
        let mut state = self.state();
        if state.published.len() == REMEMBERED {
            state.published.pop_front();
        }
        state.published.push_back(Published {
            subject: subject.to_owned(),
            reply: reply.map(str::to_owned),
            payload: payload.to_vec(),
        });
        if state.silent || state.drops(subject) {
            return;
        }
        let held = state.delays.iter().filter(|(pattern, _)| subject::matches(pattern, subject)).map(|(_, by)| *by);
        let not_before = held.max().map(|by| Instant::now() + by);
        for (id, sid) in state.receivers(from, no_echo, subject) {
            let reply = reply.map(|reply| format!(" {reply}")).unwrap_or_default();
            let line = format!("MSG {subject} {sid}{reply} {}\r\n", payload.len());
            state.send(id, [line.as_bytes(), payload, b"\r\n"].concat(), not_before);
        }
    }

    /// A session's writer tells how much it has got rid of.
    pub(super) fn written(&self, id: u64, count: usize) {
        if let Some(session) = self.state().sessions.get_mut(&id) {
            session.pending = session.pending.saturating_sub(count);
        }
    }

    pub(super) fn drop_every(&self, pattern: &str, nth: u64) {
        self.state().drops.push(Drops { pattern: pattern.to_owned(), nth: nth.max(1), seen: 0 });
    }

    pub(super) fn delay(&self, pattern: &str, by: Duration) {
        self.state().delays.push((pattern.to_owned(), by));
    }

    pub(super) fn fall_silent(&self) {
        self.state().silent = true;
    }

    pub(super) fn heal(&self) {
        let mut state = self.state();
        (state.drops, state.delays, state.silent) = (Vec::new(), Vec::new(), false);
    }

    pub(super) fn say(&self, bytes: &[u8]) {
        let mut state = self.state();
        let everyone: Vec<u64> = state.sessions.keys().copied().collect();
        for id in everyone {
            state.send(id, bytes.to_vec(), None);
        }
    }

    pub(super) fn disconnect_clients(&self) {
        for session in self.state().sessions.values() {
            session.leave.cancel();
        }
    }
}

impl State {
    fn drops(&mut self, subject: &str) -> bool {
        let mut dropped = false;
        for fault in self.drops.iter_mut().filter(|fault| subject::matches(&fault.pattern, subject)) {
            fault.seen += 1;
            dropped |= fault.seen.is_multiple_of(fault.nth);
        }
        dropped
    }

    /// Every plain subscription that matches, and one member of every queue group, in turn.
    fn receivers(&mut self, from: u64, no_echo: bool, subject: &str) -> Vec<(u64, String)> {
        let mut chosen = Vec::new();
        let mut groups: BTreeMap<(&str, &str), Vec<(u64, &String)>> = BTreeMap::new();
        for (id, session) in self.sessions.iter().filter(|(id, _)| !(no_echo && **id == from)) {
            for (sid, subscription) in &session.subscriptions {
                if subject::matches(&subscription.subject, subject) {
                    match &subscription.group {
                        None => chosen.push((*id, sid.clone())),
                        Some(group) => groups.entry((group, &subscription.subject)).or_default().push((*id, sid)),
                    }
                }
            }
        }
        for members in groups.values() {
            self.turn = self.turn.wrapping_add(1);
            let (id, sid) = members[self.turn % members.len()];
            chosen.push((id, sid.clone()));
        }
        for (id, sid) in &chosen {
            self.count(*id, sid);
        }
        chosen
    }

    fn count(&mut self, id: u64, sid: &str) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        let Some(subscription) = session.subscriptions.get_mut(sid) else { return };
        subscription.delivered += 1;
        if subscription.max == Some(subscription.delivered) {
            session.subscriptions.remove(sid);
        }
    }

    fn send(&mut self, id: u64, bytes: Vec<u8>, not_before: Option<Instant>) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        session.pending += bytes.len();
        if session.pending > MAX_PENDING {
            session.leave.cancel();
        } else {
            // A closed channel means that the session is just ending.
            let _ = session.out.send(Outgoing { bytes, not_before });
        }
    }
}
