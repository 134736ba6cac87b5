//! NATS is needed for news, not for traffic.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::Value;
use tokio::{sync::oneshot, time::timeout};
use trueroute_sidecar::stats::Event;
use trueroute_testkit::{ReservedPort, nats_wire::NatsWire};

use super::{CONNECTIONS, PATIENCE, counted, row, table_holds, within};
use crate::{
    Failed, Show, Stage, ensure,
    stage::Berth,
    traffic::{self, Tally},
    witness,
};

/// How long NATS stays dead: longer than the strict router's `droplet_stale_threshold` of 1 s and the half second between
/// two of its looks for stale endpoints.
const OUTAGE: Duration = Duration::from_millis(1800);
const REQUESTS: usize = 100;
/// How long the router may take to speak once NATS is back; it tries several times a second.
const START_WAIT: Duration = Duration::from_secs(3);
/// How often the router's first words may be missed, because it was back before the ear was.
const EARS: u32 = 3;

pub(super) async fn tell(stage: &mut Stage, show: &mut Show) -> Result<(), Failed> {
    outage(stage, show).await?;
    back(stage, show).await?;
    news(stage, show).await
}

async fn outage(stage: &Stage, show: &mut Show) -> Result<(), Failed> {
    let before = witness::routes(stage.router.routes).await?;
    stage.bus.die();
    show.say("NATS is killed.");
    let (start, mut tally) = (Instant::now(), Tally::default());
    while start.elapsed() < OUTAGE {
        tally.add(traffic::send(stage.router.http, "shop.demo", REQUESTS, CONNECTIONS).await);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    counted(stage, show, "shop.demo", &tally);
    tally.all_ok(tally.total())?;
    tally.only_from("shop")?;
    let noticed = !witness::lines(stage.logs.routers(), "nats-connection-disconnected")?.is_empty();
    ensure(noticed, || "the router has not noticed that NATS is gone".into())?;
    let after = witness::routes(stage.router.routes).await?;
    ensure(before == after, || format!("the table changed without NATS, from {before:?} to {after:?}"))?;
    let seconds = start.elapsed().as_secs_f64();
    show.holds(format_args!(
        "{seconds:.1} s without NATS, droplet_stale_threshold is 1 s: all {} endpoints kept",
        after.len()
    ));
    Ok(())
}

async fn back(stage: &Stage, show: &mut Show) -> Result<(), Failed> {
    let registered_before: Vec<u64> = living(stage).map(|(_, count)| count).collect();
    let mut start = Instant::now();
    let mut announced = None;
    for _ in 0..EARS {
        let (_ear, says) = ear(stage.bus.url()).await?;
        stage.bus.revive();
        start = Instant::now();
        announced = timeout(START_WAIT, says).await.ok().and_then(Result::ok);
        if announced.is_some() {
            break;
        }
        stage.bus.die();
    }
    let announced =
        announced.ok_or_else(|| Failed::Untrue("the router has not announced itself after NATS came back".into()))?;
    let took = start.elapsed().as_millis();
    let id = serde_json::from_str::<Value>(&announced).ok().and_then(|said| said["id"].as_str().map(str::to_owned));
    let id = id.ok_or_else(|| Failed::Untrue(format!("router.start without an id: {announced}")))?;
    show.say(format_args!("NATS is back. After {took} ms the router says router.start, as {id}."));
    within(PATIENCE, "every sidecar has registered again", async || {
        Ok(living(stage).map(|(_, count)| count).zip(&registered_before).all(|(now, before)| now > *before))
    })
    .await?;
    let took = start.elapsed().as_millis();
    show.holds(format_args!("the router announced itself again; after {took} ms every sidecar has registered again"));
    Ok(())
}

/// What came in after the return is the proof that the router listens again.
async fn news(stage: &mut Stage, show: &mut Show) -> Result<(), Failed> {
    let service = stage.shop[0].service.clone();
    let number = stage.shop.len() as u32 + 1;
    let fresh = stage.hire(&service, number, Arc::new(ReservedPort::new())).await?;
    let start = Instant::now();
    table_holds(&stage.router, &[row(&fresh)]).await?;
    let took = start.elapsed().as_millis();
    show.say(format_args!("{} starts; {took} ms later it is in the table.", fresh.label));
    let tally = traffic::send(stage.router.http, service.host, REQUESTS, CONNECTIONS).await;
    stage.shop.push(fresh);
    counted(stage, show, service.host, &tally);
    tally.all_ok(REQUESTS)?;
    tally.only_from(service.name)?;
    tally
        .spread_over([&stage.shop[0], &stage.shop[2], &stage.shop[3]].iter().map(|instance| &*instance.id.instance))?;
    show.holds("a new instance gets its share of the traffic");
    Ok(())
}

/// The instances whose sidecars run, each with how often it has registered.
fn living(stage: &Stage) -> impl Iterator<Item = (&str, u64)> {
    let alive = stage.instances().filter(|instance| instance.sidecar.is_running());
    alive.map(|instance| (&*instance.label, instance.stats.of(Event::Registered)))
}

/// Hears what the router says when it connects, by being there first; on a thread of its own, so that nothing that the
/// story waits for makes it late.
async fn ear(url: String) -> Result<(Berth, oneshot::Receiver<String>), Failed> {
    Berth::start("ear".into(), async move |_| {
        let (tell, says) = oneshot::channel();
        let listening = async move {
            if let Ok(heard) = first_start(&url).await {
                // Whoever asked has given up.
                let _ = tell.send(heard);
            }
        };
        Ok((says, listening))
    })
    .await
}

async fn first_start(url: &str) -> std::io::Result<String> {
    let mut wire = loop {
        match NatsWire::connect(url).await {
            Ok(wire) => break wire,
            Err(_) => tokio::time::sleep(Duration::from_millis(1)).await,
        }
    };
    wire.subscribe("router.start").await?;
    let message = wire.next().await?;
    Ok(String::from_utf8_lossy(&message.payload).into_owned())
}
