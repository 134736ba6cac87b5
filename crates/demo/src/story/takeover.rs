//! A stale route leads to another app's instance, and nothing happens.

use std::sync::Arc;

use trueroute_testkit::Registration;

use super::{CONNECTIONS, PATIENCE, counted, row, table_holds, times, within};
use crate::{Failed, Show, Stage, ensure, stage::Instance, traffic, traffic::Tally, witness, witness::Prune};

/// How often the stale registration is announced.
const ROUNDS: usize = 5;
const REQUESTS_PER_ROUND: usize = 100;
/// Counts peers that showed the certificate of somebody else and got no byte of the request.
const PREVENTED: &str = r#"trueroute_misroutes_prevented_total{reason="wrong_identity"}"#;

pub(super) async fn tell(stage: &mut Stage, show: &mut Show) -> Result<(), Failed> {
    let successor = take_over(stage, show).await?;
    let told = stale_route_under_traffic(stage, &successor, show).await;
    let reachable = match told {
        Ok(()) => reachable_under_its_own_host(stage, &successor, show).await,
        failed => failed,
    };
    stage.billing.push(successor);
    reachable
}

/// Kills shop #2 and starts billing #4 on the port that it leaves.
async fn take_over(stage: &mut Stage, show: &mut Show) -> Result<Instance, Failed> {
    let service = stage.billing[0].service.clone();
    let dead = &mut stage.shop[1];
    dead.die();
    let (stale, port) = (row(dead), Arc::clone(&dead.port));
    show.say(format_args!("{} ({}) dies without a word: nobody unregisters it.", dead.label, stale.address));
    let number = stage.billing.len() as u32 + 1;
    let successor = stage.hire(&service, number, port).await?;
    show.say(format_args!("{} starts on the very same port and registers for {}.", successor.label, service.host));
    table_holds(&stage.router, &[stale, row(&successor)]).await?;
    show.say(format_args!(
        "The table has both: for shop.demo, {} is still {}.",
        successor.address(),
        stage.shop[1].label
    ));
    Ok(successor)
}

async fn stale_route_under_traffic(stage: &Stage, successor: &Instance, show: &mut Show) -> Result<(), Failed> {
    let (router, dead) = (&stage.router, &stage.shop[1]);
    let stale = row(dead);
    let prevented_before = witness::metric(router.metrics, PREVENTED).await?;
    show.say(format_args!(
        "A component that lags behind announces the dead one again and again, {} here.",
        times(ROUNDS)
    ));
    let mut tally = Tally::default();
    for _ in 0..ROUNDS {
        let registered = stale_registration(dead).register(&stage.bus.url()).await;
        registered.map_err(Failed::scene("publish the stale registration"))?;
        table_holds(router, std::slice::from_ref(&stale)).await?;
        tally.add(traffic::send(router.http, dead.service.host, REQUESTS_PER_ROUND, CONNECTIONS).await);
        within(PATIENCE, "the stale endpoint is pruned", async || {
            Ok(!witness::routes(router.routes).await?.contains(&stale))
        })
        .await?;
    }
    counted(stage, show, dead.service.host, &tally);
    tally.all_ok(ROUNDS * REQUESTS_PER_ROUND)?;
    tally.only_from(dead.service.name)?;
    let living = [&stage.shop[0], &stage.shop[2]];
    tally.spread_over(living.iter().map(|instance| &*instance.id.instance))?;
    let heard = successor.app.bytes_in();
    ensure(heard == 0, || format!("{heard} bytes meant for shop reached the app of {}", successor.label))?;
    show.holds(format_args!("no response of billing, and not one byte of a request reached {}", successor.label));

    let prunes: Vec<_> =
        witness::prunes(stage.logs.routers())?.into_iter().filter(|p| p.backend == stale.address).collect();
    let prevented = witness::metric(router.metrics, PREVENTED).await? - prevented_before;
    pruned_for_the_right_reason(&prunes, dead, successor)?;
    ensure(prevented >= ROUNDS as u64, || format!("{prevented} misroutes prevented, there were {ROUNDS} at least"))?;
    if let Some(prune) = prunes.last() {
        show.say(format_args!("What the router logged, prune-failed-endpoint, {}:", times(prunes.len())));
        show.fact("route", &prune.route);
        show.fact("endpoint", &prune.backend);
        show.fact("expected", format_args!("{}, {}", prune.instance, stage.label(&prune.instance)));
        show.fact("certificate", format_args!("{}, {}", successor.id.instance, successor.label));
        show.fact("reason", &prune.reason);
    }
    show.holds(format_args!(
        "pruned {}; {prevented} attempts met the wrong certificate and went to a living instance",
        times(prunes.len())
    ));
    Ok(())
}

/// What the dead instance's sidecar had announced.
fn stale_registration(dead: &Instance) -> Registration {
    Registration::tls(dead.address(), &dead.id.instance)
        .uri(dead.service.host)
        .app(&dead.service.guid)
        .index(dead.number)
        .tag("component", "trueroute-sidecar")
}

/// Once per announcement, for the app it was about, with both names told.
fn pruned_for_the_right_reason(prunes: &[Prune], dead: &Instance, successor: &Instance) -> Result<(), Failed> {
    ensure(prunes.len() == ROUNDS, || format!("{ROUNDS} stale announcements, but {} prunes in the log", prunes.len()))?;
    let odd = prunes.iter().find(|prune| {
        prune.route != dead.service.host
            || prune.instance != dead.id.instance
            || !prune.error.contains(&dead.id.instance)
            || !prune.error.contains(&successor.id.instance)
    });
    match odd {
        None => Ok(()),
        Some(prune) => {
            Err(Failed::Untrue(format!("a prune does not tell who was expected and who was there: {prune:?}")))
        }
    }
}

async fn reachable_under_its_own_host(stage: &Stage, successor: &Instance, show: &mut Show) -> Result<(), Failed> {
    const REQUESTS: usize = 200;
    let service = &successor.service;
    let tally = traffic::send(stage.router.http, service.host, REQUESTS, CONNECTIONS).await;
    counted(stage, show, service.host, &tally);
    tally.all_ok(REQUESTS)?;
    tally.only_from(service.name)?;
    tally.spread_over(
        stage.billing.iter().chain([successor]).map(|i| &*i.id.instance).collect::<Vec<_>>().into_iter(),
    )?;
    show.holds(format_args!("{} serves at that port, under its own host", successor.label));
    Ok(())
}
