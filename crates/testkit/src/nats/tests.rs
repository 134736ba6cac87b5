//! What both servers must do alike runs over both; faults are the small one's own.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use futures_util::StreamExt;

use super::*;
use crate::bus::{for_each_bus, for_each_bus_with_login};
use crate::nats_wire::{Message, NatsWire, nats_publish};
use crate::poll::eventually;

const SOON: Duration = Duration::from_secs(5);

fn text(message: &Message) -> &str {
    std::str::from_utf8(&message.payload).unwrap()
}

#[tokio::test]
async fn messages_reach_those_who_subscribed() {
    for_each_bus(|bus| async move {
        let mut wire = NatsWire::connect(&bus.url()).await.unwrap();
        let exact = wire.subscribe("router.register").await.unwrap();
        let star = wire.subscribe("router.*").await.unwrap();
        let rest = wire.subscribe("router.>").await.unwrap();
        wire.subscribe("other").await.unwrap();
        wire.flush().await.unwrap();
        nats_publish(&bus.url(), "router.register", "one\r\ntwo").await.unwrap();
        let mut sids = Vec::new();
        for _ in 0..3 {
            let message = wire.next().await.unwrap();
            assert_eq!(
                (message.subject.as_str(), text(&message), &message.reply),
                ("router.register", "one\r\ntwo", &None)
            );
            sids.push(message.sid);
        }
        sids.sort_unstable();
        assert_eq!(sids, [exact, star, rest]);
        nats_publish(&bus.url(), "router.a.b", "").await.unwrap();
        let message = wire.next().await.unwrap();
        assert_eq!((message.subject.as_str(), message.sid, text(&message)), ("router.a.b", rest, ""));
    })
    .await;
}

#[tokio::test]
async fn answers_go_where_the_question_says() {
    for_each_bus(|bus| async move {
        let mut server = NatsWire::connect(&bus.url()).await.unwrap();
        server.subscribe("router.greet").await.unwrap();
        server.flush().await.unwrap();
        let mut client = NatsWire::connect(&bus.url()).await.unwrap();
        client.subscribe("_INBOX.1").await.unwrap();
        client.publish_asking("router.greet", "_INBOX.1", "").await.unwrap();
        let question = server.next().await.unwrap();
        server.publish(question.reply.as_deref().unwrap(), "hello").await.unwrap();
        assert_eq!(text(&client.next().await.unwrap()), "hello");
    })
    .await;
}

#[tokio::test]
async fn a_queue_group_shares_its_messages() {
    for_each_bus(|bus| async move {
        let mut wire = NatsWire::connect(&bus.url()).await.unwrap();
        wire.subscribe_in("work", "group").await.unwrap();
        wire.subscribe_in("work", "group").await.unwrap();
        let alone = wire.subscribe("work").await.unwrap();
        wire.flush().await.unwrap();
        for number in 0..20 {
            nats_publish(&bus.url(), "work", number.to_string()).await.unwrap();
        }
        let mut seen = Vec::new();
        for _ in 0..40 {
            let message = wire.next().await.unwrap();
            seen.push((message.sid == alone, text(&message).parse::<u32>().unwrap()));
        }
        seen.sort_unstable();
        let expected: Vec<_> = [false, true].into_iter().flat_map(|kind| (0..20).map(move |n| (kind, n))).collect();
        assert_eq!(seen, expected);
    })
    .await;
}

#[tokio::test]
async fn subscriptions_end_at_once_or_after_a_number() {
    for_each_bus(|bus| async move {
        let mut wire = NatsWire::connect(&bus.url()).await.unwrap();
        let gone = wire.subscribe("a").await.unwrap();
        wire.unsubscribe(gone, None).await.unwrap();
        let two = wire.subscribe("a").await.unwrap();
        wire.unsubscribe(two, Some(2)).await.unwrap();
        let end = wire.subscribe("end").await.unwrap();
        for payload in ["1", "2", "3"] {
            wire.publish("a", payload).await.unwrap();
        }
        wire.publish("end", "").await.unwrap();
        let mut seen = Vec::new();
        loop {
            let message = wire.next().await.unwrap();
            if message.sid == end {
                break;
            }
            seen.push((message.sid, text(&message).to_owned()));
        }
        assert_eq!(seen, [(two, "1".to_owned()), (two, "2".to_owned())]);
    })
    .await;
}

#[tokio::test]
async fn verbose_clients_hear_ok() {
    for_each_bus(|bus| async move {
        let mut wire = NatsWire::connect_mute(&bus.addr().to_string()).await.unwrap();
        assert!(wire.greeting().starts_with("INFO {"), "{}", wire.greeting());
        wire.say("CONNECT {\"verbose\":true}\r\nSUB a 1\r\nPUB b 1\r\nx\r\nUNSUB 1\r\nPING\r\n").await.unwrap();
        for expected in ["+OK", "+OK", "+OK", "+OK", "PONG"] {
            assert_eq!(wire.line().await.unwrap(), expected);
        }
    })
    .await;
}

#[tokio::test]
async fn a_client_without_echo_does_not_hear_itself() {
    for_each_bus(|bus| async move {
        let mut wire = NatsWire::connect_mute(&bus.addr().to_string()).await.unwrap();
        wire.say("CONNECT {\"verbose\":false,\"echo\":false}\r\nSUB a 1\r\nPUB a 1\r\nx\r\nPING\r\n").await.unwrap();
        assert_eq!(wire.line().await.unwrap(), "PONG");
    })
    .await;
}

#[tokio::test]
async fn what_breaks_the_protocol_ends_the_connection() {
    let long = format!("PUB {} 1\r\n", "x".repeat(5000));
    let cases = ["NONSENSE\r\n", "PUB a x\r\n", "PUB a 2000000\r\n", "PUB a 1\r\nxyz\r\n", &long];
    for case in cases {
        for_each_bus(|bus| async move {
            let mut wire = NatsWire::connect(&bus.url()).await.unwrap();
            // The server may be gone before all is said.
            let _ = wire.say(case).await;
            let failure = loop {
                match wire.line().await {
                    Ok(line) => assert!(line.starts_with("-ERR "), "{line}"),
                    Err(failure) => break failure.kind(),
                }
            };
            assert_ne!(failure, ErrorKind::TimedOut, "{case:?} over the {} server", bus.kind());
        })
        .await;
    }
}

#[tokio::test]
async fn an_invalid_subject_is_told_and_forgiven() {
    for_each_bus(|bus| async move {
        let mut wire = NatsWire::connect(&bus.url()).await.unwrap();
        wire.say("SUB a..b 1\r\nPING\r\n").await.unwrap();
        assert_eq!(wire.line().await.unwrap(), "-ERR 'Invalid Subject'");
        assert_eq!(wire.line().await.unwrap(), "PONG");
    })
    .await;
}

#[tokio::test]
async fn only_the_password_opens() {
    for_each_bus_with_login("user", "secret", |bus| async move {
        let right = bus.url();
        nats_publish(&right, "a", "x").await.unwrap();
        for wrong in [right.replace("secret", "guess"), right.replace("user:secret@", "")] {
            let failure = nats_publish(&wrong, "a", "x").await.unwrap_err();
            let text = failure.to_string();
            assert!(text.contains("Authorization Violation") || failure.kind() == ErrorKind::ConnectionReset, "{text}");
        }
    })
    .await;
}

#[tokio::test]
async fn dies_and_comes_back_on_the_same_port() {
    for_each_bus(|bus| async move {
        let mut wire = NatsWire::connect(&bus.url()).await.unwrap();
        bus.die();
        wire.line().await.unwrap_err();
        assert_eq!(NatsWire::connect(&bus.url()).await.unwrap_err().kind(), ErrorKind::ConnectionRefused);
        bus.revive();
        nats_publish(&bus.url(), "a", "x").await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn async_nats_is_content() {
    for_each_bus_with_login("user", "secret", |bus| async move {
        let options = async_nats::ConnectOptions::with_user_and_password("user".into(), "secret".into())
            .reconnect_delay_callback(|_| Duration::from_millis(20));
        let client = options.connect(bus.addr().to_string()).await.unwrap();
        let mut subscriber = client.subscribe("router.*").await.unwrap();
        client.flush().await.unwrap();
        nats_publish(&bus.url(), "router.register", "hello").await.unwrap();
        let message = subscriber.next().await.unwrap();
        assert_eq!((message.subject.as_str(), &message.payload[..]), ("router.register", &b"hello"[..]));

        let answering = client.subscribe("router.greet").await.unwrap();
        let answers = client.clone();
        let answerer = tokio::spawn(async move {
            let question = answering.into_future().await.0.unwrap();
            answers.publish(question.reply.unwrap(), "start".into()).await.unwrap();
        });
        client.flush().await.unwrap();
        let answer = client.request("router.greet", "".into()).await.unwrap();
        assert_eq!(&answer.payload[..], b"start");
        answerer.await.unwrap();
        let greeting = subscriber.next().await.unwrap();
        assert_eq!(greeting.subject.as_str(), "router.greet");

        bus.die();
        eventually(SOON, || async { client.connection_state() != async_nats::connection::State::Connected }).await;
        bus.revive();
        eventually(SOON, || async { client.connection_state() == async_nats::connection::State::Connected }).await;
        client.flush().await.unwrap();
        nats_publish(&bus.url(), "router.register", "again").await.unwrap();
        let message = tokio::time::timeout(SOON, subscriber.next()).await.unwrap().unwrap();
        assert_eq!(&message.payload[..], b"again");
    })
    .await;
}

#[tokio::test]
async fn messages_can_be_dropped() {
    let nats = Nats::start();
    let mut wire = NatsWire::connect(&nats.url()).await.unwrap();
    wire.subscribe(">").await.unwrap();
    nats.drop_messages("gone.*");
    nats.drop_every("a", 3);
    for number in 1..=6 {
        wire.publish("gone.now", "").await.unwrap();
        wire.publish("a", number.to_string()).await.unwrap();
    }
    for expected in ["1", "2", "4", "5"] {
        assert_eq!(text(&wire.next().await.unwrap()), expected);
    }
    wire.flush().await.unwrap();
    assert_eq!((nats.published("gone.now").len(), nats.published("a").len()), (6, 6));
    nats.heal();
    wire.publish("gone.now", "back").await.unwrap();
    assert_eq!(text(&wire.next().await.unwrap()), "back");
}

#[tokio::test]
async fn messages_can_be_held_back() {
    let nats = Nats::start();
    let mut wire = NatsWire::connect(&nats.url()).await.unwrap();
    wire.subscribe("a").await.unwrap();
    nats.delay("a", Duration::from_millis(100));
    let started = Instant::now();
    for number in 0..5 {
        wire.publish("a", number.to_string()).await.unwrap();
    }
    for number in 0..5 {
        assert_eq!(text(&wire.next().await.unwrap()), number.to_string());
    }
    assert!(started.elapsed() >= Duration::from_millis(100));
}

#[tokio::test]
async fn clients_are_counted_and_thrown_out() {
    let nats = Nats::start();
    let mut wire = NatsWire::connect(&nats.url()).await.unwrap();
    wire.subscribe("b").await.unwrap();
    wire.subscribe("a").await.unwrap();
    wire.flush().await.unwrap();
    assert_eq!((nats.clients(), nats.subscriptions()), (1, vec!["a".to_owned(), "b".to_owned()]));
    nats.publish("a", "from nowhere");
    assert_eq!(text(&wire.next().await.unwrap()), "from nowhere");
    nats.disconnect_clients();
    wire.line().await.unwrap_err();
    eventually(SOON, || async { nats.clients() == 0 && nats.subscriptions().is_empty() }).await;
    NatsWire::connect(&nats.url()).await.unwrap();
    assert_eq!(nats.clients_ever(), 2);
}

#[tokio::test]
async fn a_stuck_server_says_nothing_until_healed() {
    let nats = Nats::start();
    let mut wire = NatsWire::connect(&nats.url()).await.unwrap();
    nats.fall_silent();
    wire.say("PING\r\n").await.unwrap();
    assert!(tokio::time::timeout(Duration::from_millis(100), wire.line()).await.is_err());
    nats.say("-ERR 'by hand'\r\n");
    assert_eq!(wire.line().await.unwrap(), "-ERR 'by hand'");
    nats.heal();
    wire.flush().await.unwrap();
}
