//! The story, step by step. Each step says what it does, does it with real requests, and checks what it claims.

mod bus;
mod takeover;
mod unproven;

use std::{
    fmt::Display,
    time::{Duration, Instant},
};

use crate::{
    Failed, Show, Stage, ensure,
    stage::{INSTANCES, Instance},
    traffic::{self, Tally},
    witness::{self, LOGIN, Row},
};

/// Nothing in the story takes longer unless it does not happen.
const PATIENCE: Duration = Duration::from_secs(10);
/// Clients at a time.
const CONNECTIONS: usize = 20;

/// Tells the whole story.
///
/// # Errors
/// The first step that did not hold.
pub async fn tell(stage: &mut Stage, show: &mut Show) -> Result<(), Failed> {
    introduce(stage, show);
    step(1, "Normal traffic", show, async |show| normal_traffic(stage, show).await).await?;
    let title = "The port of a dead instance of shop is taken over by billing";
    step(2, title, show, async |show| takeover::tell(stage, show).await).await?;
    step(3, "The same with route integrity off", show, async |show| unproven::tell(stage, show).await).await?;
    step(4, "NATS dies and comes back", show, async |show| bus::tell(stage, show).await).await
}

/// Prints what to try while everything is up.
pub fn farewell(stage: &Stage, show: &mut Show) {
    let router = &stage.router;
    show.step(5, "Your turn: all of it is still up");
    for instance in [stage.shop.first(), stage.billing.first()].into_iter().flatten() {
        show.command(format_args!("curl -i -H 'Host: {}' http://{}/", instance.service.host, router.http));
    }
    show.command(format_args!("curl -u {LOGIN} http://{}/routes", router.routes));
    show.command(format_args!("curl http://{}/metrics", router.metrics));
    show.command(format_args!("curl http://{}/health", router.health));
    show.command(format_args!("tail -f {}", stage.logs.routers().display()));
    if let Some(living) = stage.shop.first() {
        show.say(format_args!("The sidecar of {} turns away whoever has no router's certificate:", living.label));
        show.command(format_args!("curl -k https://{}/", living.address()));
    }
    show.say("Ctrl-C stops everything.");
}

async fn step(
    number: u32,
    title: &'static str,
    show: &mut Show,
    tell: impl AsyncFnOnce(&mut Show) -> Result<(), Failed>,
) -> Result<(), Failed> {
    show.step(number, title);
    Box::pin(tell(show)).await.map_err(|cause| Failed::Step { number, title, cause: Box::new(cause) })
}

fn introduce(stage: &Stage, show: &mut Show) {
    show.title("Trueroute: every request reaches the instance it was meant for");
    let nats = match stage.bus.kind() {
        "real" => "a real nats-server",
        _ => "the built-in one (no nats-server on PATH or in NATS_SERVER_BIN)",
    };
    show.fact("NATS", format_args!("{nats}, {}", stage.bus.addr()));
    for instance in [stage.shop.first(), stage.billing.first()].into_iter().flatten() {
        let name = instance.service.name;
        let text = "instances, each a plain app behind its own sidecar in strict mode";
        show.fact(name, format_args!("{INSTANCES} {text}"));
    }
    show.fact("router", format_args!("http://{}, route_integrity: strict", stage.router.http));
    show.fact("config", stage.router.config.display());
    show.fact("logs", format_args!("{}, {}", stage.logs.routers().display(), stage.logs.sidecars().display()));
}

async fn normal_traffic(stage: &Stage, show: &mut Show) -> Result<(), Failed> {
    const REQUESTS: usize = 300;
    ensure(witness::is_healthy(stage.router.health).await, || "the router does not report healthy".into())?;
    let everybody: Vec<Row> = stage.instances().map(row).collect();
    table_holds(&stage.router, &everybody).await?;
    show.say("Every sidecar has registered its instance over NATS; the router has all six.");
    for crew in [&stage.shop, &stage.billing] {
        let Some(first) = crew.first() else { continue };
        let tally = traffic::send(stage.router.http, first.service.host, REQUESTS, CONNECTIONS).await;
        counted(stage, show, first.service.host, &tally);
        tally.all_ok(REQUESTS)?;
        tally.only_from(first.service.name)?;
        tally.spread_over(crew.iter().map(|instance| &*instance.id.instance))?;
    }
    show.holds("each app answered its own requests only, each instance its share");
    Ok(())
}

/// Prints who answered.
fn counted(stage: &Stage, show: &mut Show, host: &str, tally: &Tally) {
    show.say(format_args!("{} requests for {host}, {CONNECTIONS} at a time: {tally}", tally.total()));
    let by_label: Vec<_> = (tally.answerers.iter())
        .map(|(answerer, count)| (stage.label(&answerer.instance), count))
        .collect::<std::collections::BTreeMap<_, _>>()
        .into_iter()
        .map(|(label, count)| format!("{label}: {count}"))
        .collect();
    show.fact("answered by", by_label.join(", "));
}

/// The endpoint as the table should show it.
fn row(instance: &Instance) -> Row {
    Row {
        host: instance.service.host.to_owned(),
        address: instance.address().to_string(),
        instance: instance.id.instance.clone(),
    }
}

/// Waits until the router's table has all these endpoints.
async fn table_holds(router: &crate::stage::RunningRouter, rows: &[Row]) -> Result<(), Failed> {
    within(PATIENCE, "all registrations are in the table", async || {
        let table = witness::routes(router.routes).await?;
        Ok(rows.iter().all(|row| table.contains(row)))
    })
    .await
    .map(|_| ())
}

/// Waits until `probe` says true; how long that took.
async fn within(
    limit: Duration,
    what: impl Display,
    mut probe: impl AsyncFnMut() -> Result<bool, Failed>,
) -> Result<Duration, Failed> {
    let start = Instant::now();
    while !probe().await? {
        ensure(start.elapsed() < limit, || format!("not so within {} s: {what}", limit.as_secs()))?;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(start.elapsed())
}

/// `n` with the noun in the right number.
fn times(n: usize) -> String {
    if n == 1 { "once".to_owned() } else { format!("{n} times") }
}
