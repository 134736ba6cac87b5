//! The reason for all of it: addresses change hands under load, and no response ever comes from the wrong app.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use trueroute_testkit::{ReservedPort, eventually, pki::InstanceId};

use crate::{
    support::{Reach, RouterUnderTest, Scene},
    tenant::Tenant,
};

/// Clients at a time, each with a connection that it keeps.
const CLIENTS: usize = 16;
/// Between two swaps; far more than any machine needs.
const LONG: Duration = Duration::from_secs(60);

/// How tenants go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Departure {
    /// They finish what is under way.
    Orderly,
    /// They are cut, requests and all.
    Abrupt,
}

/// GETs for both apps in turn, until there were enough.
#[derive(Default)]
struct Load {
    requests: u64,
    begun: AtomicU64,
    done: AtomicU64,
    /// Responses of the wrong app.
    misrouted: Mutex<Vec<String>>,
    /// No response, or not a 200.
    failed: Mutex<Vec<String>>,
}

impl Load {
    async fn client(self: Arc<Self>, router: Reach) {
        let mut client = router.client().await;
        loop {
            let ticket = self.begun.fetch_add(1, Relaxed);
            if ticket >= self.requests {
                return;
            }
            let app = if ticket.is_multiple_of(2) { "a" } else { "b" };
            let answer = client.get(&format!("{app}.swap"), "/").await;
            let of = answer.as_ref().ok().and_then(|answer| answer.header("x-app"));
            if of.is_some_and(|of| of != app) {
                self.misrouted.lock().unwrap().push(format!("request {ticket} for {app}: {answer:?}"));
            } else if of.is_none() || answer.as_ref().is_ok_and(|answer| answer.status != 200) {
                self.failed.lock().unwrap().push(format!("request {ticket} for {app}: {answer:?}"));
            }
            if answer.is_err() {
                client = router.client().await;
            }
            self.done.fetch_add(1, Relaxed);
        }
    }
}

/// Two addresses that two apps fight over.
struct Contested {
    scene: Scene,
    tenants: [Tenant; 2],
    swaps: u64,
    served: u64,
    misdirected: u64,
}

impl Contested {
    /// Both tenants go and each comes back at the other's place: with the certificate that it had, or, every other
    /// time, as a new instance. Nothing is unregistered, and now and then a stale message is told again.
    async fn swap(&mut self, router: &Reach, departure: Departure) {
        let [one, other] = &self.tenants;
        match departure {
            Departure::Orderly => tokio::join!(one.move_out(), other.move_out()),
            Departure::Abrupt => tokio::join!(one.die(), other.die()),
        };
        let stale = [one.registration(), other.registration()];
        self.note_leaving();
        let [one, other] = &self.tenants;
        let id = |app: &str, id: InstanceId| if self.swaps.is_multiple_of(2) { InstanceId::of_app(app) } else { id };
        let fresh = [
            Tenant::move_in(&one.port, &self.scene.pki, other.app, &id(other.app, other.id.clone())),
            Tenant::move_in(&other.port, &self.scene.pki, one.app, &id(one.app, one.id.clone())),
        ];
        self.tenants = fresh;
        self.swaps += 1;
        for tenant in &self.tenants {
            router.publish(&tenant.registration()).await;
        }
        if self.swaps.is_multiple_of(3) {
            for registration in &stale {
                router.publish(registration).await;
            }
        }
    }

    fn note_leaving(&mut self) {
        for tenant in &self.tenants {
            self.served += tenant.served();
            self.misdirected += tenant.misdirected();
        }
    }
}

/// Swaps every `per_swap` of `requests`, with one attempt per request and one instance of each app that stays. No
/// request may reach the wrong app; gives those that failed.
async fn fight(requests: u64, per_swap: u64, departure: Departure) -> Vec<String> {
    let router = RouterUnderTest::builder().one_attempt().start().await;
    let scene = router.scene.clone();
    let port = || Arc::new(ReservedPort::new());
    let stay = ["a", "b"].map(|app| Tenant::move_in(&port(), &scene.pki, app, &InstanceId::of_app(app)));
    let tenants = ["a", "b"].map(|app| Tenant::move_in(&port(), &scene.pki, app, &InstanceId::of_app(app)));
    for tenant in stay.iter().chain(&tenants) {
        router.register(&tenant.registration()).await;
    }

    let begun = Instant::now();
    let load = Arc::new(Load { requests, ..Load::default() });
    for _ in 0..CLIENTS {
        tokio::spawn(Arc::clone(&load).client(router.clone()));
    }
    let mut contested = Contested { scene, tenants, swaps: 0, served: 0, misdirected: 0 };
    for swap in 1..requests / per_swap {
        eventually(LONG, async || load.done.load(Relaxed) >= swap * per_swap).await;
        contested.swap(&router, departure).await;
    }
    eventually(LONG, async || load.done.load(Relaxed) == requests).await;
    let took = begun.elapsed();

    contested.note_leaving();
    let (misrouted, failed) = (&load.misrouted, &load.failed);
    let (misrouted, failed) = (misrouted.lock().unwrap().clone(), failed.lock().unwrap().clone());
    assert!(misrouted.is_empty(), "{misrouted:#?}");
    assert_eq!(contested.misdirected + stay.iter().map(Tenant::misdirected).sum::<u64>(), 0);
    // The load has met what it is about: strangers behind stale addresses, and instances that came and went.
    let (prevented, swaps) = (router.metric("trueroute_misroutes_prevented_total").await, contested.swaps);
    assert!(prevented >= swaps as f64 / 2.0, "{prevented} strangers in {swaps} swaps");
    assert!(contested.served >= requests / 20, "the contested addresses served {} requests", contested.served);
    let failures = failed.len();
    println!("{requests} requests, {swaps} swaps, {prevented} strangers refused, {failures} failed, {took:?}");
    failed
}

#[tokio::test]
async fn swapped_ports_and_certificates_never_mix_two_apps_and_cost_no_request() {
    let failed = fight(100_000, 500, Departure::Orderly).await;
    assert!(failed.is_empty(), "{} requests failed, among them {:#?}", failed.len(), &failed[..failed.len().min(10)]);
}

#[tokio::test]
async fn instances_that_are_cut_off_cost_what_they_were_working_on_and_never_mix_two_apps() {
    let failed = fight(20_000, 200, Departure::Abrupt).await;
    // What had reached an instance when it died is lost, at most one request per client and swap.
    assert!(failed.len() < 100 * CLIENTS, "{} requests failed", failed.len());
    assert!(failed.iter().all(|failure| failure.contains("status: 502")), "{failed:#?}");
}
