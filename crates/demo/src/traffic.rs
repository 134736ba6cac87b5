//! Requests as clients send them, and the count of who answered.

use std::{collections::BTreeMap, fmt, net::SocketAddr};

use tokio::task::JoinSet;
use trueroute_testkit::Client;

use crate::{Failed, ensure};

/// Who answered: the app's name and the instance's GUID, both as the app itself says.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Answerer {
    pub(crate) app: String,
    pub(crate) instance: String,
}

/// What came back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Responses by status.
    pub(crate) statuses: BTreeMap<u16, usize>,
    /// Responses by who gave them; those of the router itself are not among them.
    pub(crate) answerers: BTreeMap<Answerer, usize>,
    /// Why requests got no response at all.
    pub(crate) broken: Vec<String>,
}

/// Sends `requests` requests for `host` over `connections` keep-alive connections at once.
pub(crate) async fn send(router: SocketAddr, host: &'static str, requests: usize, connections: usize) -> Tally {
    let mut clients = JoinSet::new();
    for index in 0..connections {
        let share = requests / connections + usize::from(index < requests % connections);
        clients.spawn(client(router, host, share));
    }
    let mut all = Tally::default();
    while let Some(ended) = clients.join_next().await {
        match ended {
            Ok(tally) => all.add(tally),
            Err(panicked) => all.broken.push(panicked.to_string()),
        }
    }
    all
}

async fn client(router: SocketAddr, host: &str, requests: usize) -> Tally {
    let mut tally = Tally::default();
    let mut connection = None;
    for _ in 0..requests {
        if let Err(error) = request(router, host, &mut connection, &mut tally).await {
            tally.broken.push(error.to_string());
            connection = None;
        }
    }
    tally
}

async fn request(
    router: SocketAddr,
    host: &str,
    connection: &mut Option<Client>,
    tally: &mut Tally,
) -> std::io::Result<()> {
    let client = match connection {
        Some(client) => client,
        None => connection.insert(Client::connect(router).await?),
    };
    let response = client.get(host, "/").await?;
    *tally.statuses.entry(response.status).or_default() += 1;
    if let (Some(app), Some(instance)) = (response.header("x-app"), response.header("x-instance")) {
        let answerer = Answerer { app: app.to_owned(), instance: instance.to_owned() };
        *tally.answerers.entry(answerer).or_default() += 1;
    }
    Ok(())
}

impl Tally {
    /// Adds what somebody else counted.
    pub(crate) fn add(&mut self, other: Self) {
        for (status, count) in other.statuses {
            *self.statuses.entry(status).or_default() += count;
        }
        for (answerer, count) in other.answerers {
            *self.answerers.entry(answerer).or_default() += count;
        }
        self.broken.extend(other.broken);
    }

    /// All requests.
    pub(crate) fn total(&self) -> usize {
        self.statuses.values().sum::<usize>() + self.broken.len()
    }

    /// How many the app called `app` answered.
    pub(crate) fn by_app(&self, app: &str) -> usize {
        self.answerers.iter().filter(|(answerer, _)| answerer.app == app).map(|(_, count)| count).sum()
    }

    /// How many this instance answered.
    pub(crate) fn by_instance(&self, instance: &str) -> usize {
        self.answerers.iter().filter(|(answerer, _)| answerer.instance == instance).map(|(_, count)| count).sum()
    }

    /// Claims that `requests` were sent and every one got a 200.
    pub(crate) fn all_ok(&self, requests: usize) -> Result<(), Failed> {
        ensure(self.statuses == BTreeMap::from([(200, requests)]) && self.broken.is_empty(), || {
            let first = self.broken.first().map(|why| format!("; the first without a response: {why}"));
            format!("of {requests} requests all should get a 200, but: {self}{}", first.unwrap_or_default())
        })
    }

    /// Claims that nobody but the app called `app` answered.
    pub(crate) fn only_from(&self, app: &str) -> Result<(), Failed> {
        match self.answerers.iter().find(|(answerer, _)| answerer.app != app) {
            None => Ok(()),
            Some((stranger, count)) => {
                Err(Failed::Untrue(format!("{count} requests for {app} were answered by {}", stranger.app)))
            }
        }
    }

    /// Claims that each of `instances` answered its share: at least half of what an even spread gives it.
    pub(crate) fn spread_over<'i>(
        &self,
        instances: impl ExactSizeIterator<Item = &'i str> + Clone,
    ) -> Result<(), Failed> {
        let fair = self.total() / instances.len().max(1);
        let starved = instances.map(|id| (id, self.by_instance(id))).find(|(_, count)| *count < (fair / 2).max(1));
        match starved {
            None => Ok(()),
            Some((id, count)) => {
                Err(Failed::Untrue(format!("instance {id} answered {count} requests, an even share is {fair}")))
            }
        }
    }
}

/// `299 x 200, 1 x 502, 2 without a response`.
impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts: Vec<_> = self.statuses.iter().map(|(status, count)| format!("{count} x {status}")).collect();
        if !self.broken.is_empty() {
            parts.push(format!("{} without a response", self.broken.len()));
        }
        f.write_str(&parts.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(answers: &[(&str, &str, usize)]) -> Tally {
        let answerer = |app: &str, instance: &str| Answerer { app: app.into(), instance: instance.into() };
        let answerers: BTreeMap<_, _> = answers.iter().map(|(a, i, count)| (answerer(a, i), *count)).collect();
        Tally { statuses: BTreeMap::from([(200, answerers.values().sum())]), answerers, broken: vec![] }
    }

    #[test]
    fn one_answer_of_another_app_fails_the_claim() {
        let clean = tally(&[("a", "a1", 50), ("a", "a2", 50)]);
        clean.only_from("a").unwrap();
        let mut mixed = clean;
        mixed.add(tally(&[("b", "b1", 1)]));
        assert_eq!(mixed.only_from("a").unwrap_err().to_string(), "1 requests for a were answered by b");
        mixed.all_ok(101).unwrap();
    }

    #[test]
    fn one_request_without_a_200_fails_the_claim() {
        let good = tally(&[("a", "a1", 9)]);
        good.all_ok(9).unwrap();
        good.all_ok(10).unwrap_err();
        let with = |status: u16| Tally { statuses: BTreeMap::from([(200, 8), (status, 1)]), ..good.clone() };
        with(502).all_ok(9).unwrap_err();
        let broken = Tally { broken: vec!["EOF".into()], ..good };
        assert!(broken.all_ok(9).unwrap_err().to_string().ends_with("the first without a response: EOF"));
    }

    #[test]
    fn an_instance_that_gets_next_to_nothing_fails_the_claim() {
        let ids = ["a1", "a2", "a3"];
        tally(&[("a", "a1", 33), ("a", "a2", 34), ("a", "a3", 33)]).spread_over(ids.into_iter()).unwrap();
        tally(&[("a", "a1", 50), ("a", "a2", 50)]).spread_over(ids.into_iter()).unwrap_err();
        tally(&[("a", "a1", 50), ("a", "a2", 40), ("a", "a3", 10)]).spread_over(ids.into_iter()).unwrap_err();
    }
}
