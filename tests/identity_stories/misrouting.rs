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

/// How many requests the swapping goes on for.
const REQUESTS: u64 = 100_000;
/// Requests between two swaps.
const PER_SWAP: u64 = 500;
/// Clients at a time, each with a connection that it keeps.
const CLIENTS: usize = 16;
/// More than any machine needs for all of them.
const LONG: Duration = Duration::from_secs(600);

/// GETs for both apps in turn, until there were enough.
#[derive(Default)]
struct Load {
    begun: AtomicU64,
    done: AtomicU64,
    wrong: Mutex<Vec<String>>,
}

impl Load {
    async fn client(self: Arc<Self>, router: Reach) {
        let mut client = router.client().await;
        loop {
            let ticket = self.begun.fetch_add(1, Relaxed);
            if ticket >= REQUESTS {
                return;
            }
            let app = if ticket.is_multiple_of(2) { "a" } else { "b" };
            match client.get(&format!("{app}.swap"), "/").await {
                Ok(answer) if answer.status == 200 && answer.header("x-app") == Some(app) => {}
                outcome => {
                    self.wrong.lock().unwrap().push(format!("request {ticket} for {app}: {outcome:?}"));
                    client = router.client().await;
                }
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
    /// Both tenants move out and each moves into the other's place: with the certificate that it had, or, every
    /// other time, as a new instance. Nothing is unregistered, and now and then a stale message is told again.
    async fn swap(&mut self, router: &Reach) {
        let [one, other] = &self.tenants;
        tokio::join!(one.move_out(), other.move_out());
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

#[tokio::test]
async fn swapped_ports_and_certificates_never_mix_two_apps() {
    let router = RouterUnderTest::builder().one_attempt().start().await;
    let scene = router.scene.clone();
    let port = || Arc::new(ReservedPort::new());
    let stay = ["a", "b"].map(|app| Tenant::move_in(&port(), &scene.pki, app, &InstanceId::of_app(app)));
    let tenants = ["a", "b"].map(|app| Tenant::move_in(&port(), &scene.pki, app, &InstanceId::of_app(app)));
    for tenant in stay.iter().chain(&tenants) {
        router.register(&tenant.registration()).await;
    }

    let begun = Instant::now();
    let load = Arc::new(Load::default());
    for _ in 0..CLIENTS {
        tokio::spawn(Arc::clone(&load).client(router.clone()));
    }
    let mut contested = Contested { scene, tenants, swaps: 0, served: 0, misdirected: 0 };
    for swap in 1..REQUESTS / PER_SWAP {
        eventually(LONG, async || load.done.load(Relaxed) >= swap * PER_SWAP).await;
        contested.swap(&router).await;
    }
    eventually(LONG, async || load.done.load(Relaxed) == REQUESTS).await;
    let took = begun.elapsed();

    contested.note_leaving();
    let wrong = std::mem::take(&mut *load.wrong.lock().unwrap());
    assert_eq!(wrong.len(), 0, "{:#?}", &wrong[..wrong.len().min(10)]);
    assert_eq!(contested.misdirected, 0);
    assert!(stay.iter().all(|tenant| tenant.misdirected() == 0));
    // The load has met what it is about: strangers behind stale addresses, and instances that came and went.
    let prevented = router.metric("trueroute_misroutes_prevented_total").await;
    assert!(prevented >= contested.swaps as f64 / 2.0, "{prevented} strangers in {} swaps", contested.swaps);
    assert!(contested.served >= REQUESTS / 20, "the contested addresses served {} requests", contested.served);
    println!("{REQUESTS} requests, {} swaps, {prevented} strangers refused, in {took:?}", contested.swaps);
}
