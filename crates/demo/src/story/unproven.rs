//! Without route integrity the same stale route is a misroute: the check of the step before must fail here.

use trueroute_testkit::{App, Registration, pki::guid};

use super::{CONNECTIONS, counted, table_holds};
use crate::{
    Failed, Show, Stage, ensure,
    stage::{RunningRouter, Service},
    traffic,
    witness::{self, Row},
};

const INSTANCES: u32 = 3;
const REQUESTS: usize = 300;

pub(super) async fn tell(stage: &mut Stage, show: &mut Show) -> Result<(), Failed> {
    let router = stage.router_without_integrity().await?;
    show.say(format_args!("A second router, http://{}, with route_integrity: off.", router.http));
    let told = misroute(stage, &router, show).await;
    router.stop().await;
    told
}

async fn misroute(stage: &mut Stage, router: &RunningRouter, show: &mut Show) -> Result<(), Failed> {
    let (shop, billing) = (stage.shop[0].service.clone(), stage.billing[0].service.clone());
    let crew: Vec<App> = (1..=INSTANCES).map(|number| shop.app(number, &guid(), None)).collect();
    let mut rows = Vec::new();
    for (app, number) in crew.iter().zip(1..) {
        rows.push(announce(stage, &shop, app, number).await?);
    }
    table_holds(router, &rows).await?;
    show.say(format_args!(
        "{INSTANCES} more instances of shop register their plain ports; no sidecar, no certificate."
    ));
    let strict = witness::routes(stage.router.routes).await?;
    ensure(!rows.iter().any(|row| strict.contains(row)), || "the strict router took a plain endpoint".into())?;

    let stale = &crew[1];
    stale.die();
    let successor = billing.app(INSTANCES + 1, &guid(), Some(stale.port()));
    let taken = announce(stage, &billing, &successor, INSTANCES + 1).await?;
    table_holds(router, &[rows[1].clone(), taken]).await?;
    show.say(format_args!("shop plain #2 dies; a plain instance of billing starts on its port, {}.", stale.addr()));

    let tally = traffic::send(router.http, shop.host, REQUESTS, CONNECTIONS).await;
    counted(stage, show, shop.host, &tally);
    tally.all_ok(REQUESTS)?;
    let misrouted = tally.by_app(billing.name);
    ensure(misrouted > 0 && tally.only_from(shop.name).is_err(), || {
        "no request was misrouted, so step 2 proves nothing: there was nothing to prevent".into()
    })?;
    show.holds(format_args!("{misrouted} of {REQUESTS} clients of shop got a 200 from billing: the misroute is real"));
    Ok(())
}

/// Registers a plain endpoint.
async fn announce(stage: &mut Stage, service: &Service, app: &App, number: u32) -> Result<Row, Failed> {
    stage.name(app.instance(), &format!("{} plain #{number}", service.name));
    let message = Registration::plain(app.addr()).uri(service.host).app(&service.guid).instance(app.instance());
    let published = message.index(number).register(&stage.bus.url()).await;
    published.map_err(Failed::scene("register a plain port"))?;
    let (address, instance) = (app.addr().to_string(), app.instance().to_owned());
    Ok(Row { host: service.host.to_owned(), address, instance })
}
