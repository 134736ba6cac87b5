//! Stories about the bus, each told over a real nats-server and over the testkit's small one.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a story whose scene cannot be set must stop there")]

#[path = "bus/broker.rs"]
mod broker;
#[allow(dead_code, reason = "shared with the unit tests, which look at more")]
#[path = "../src/bus/capture.rs"]
mod capture;
#[path = "bus/router.rs"]
mod router;
#[path = "bus/secure.rs"]
mod secure;
#[path = "bus/stories.rs"]
mod stories;

/// Declares a test per story and kind of server.
macro_rules! told_over {
    ($($kind:ident: $server:ty => [$($story:ident),+ $(,)?];)+) => {$(
        mod $kind {
            use super::*;
            $(#[tokio::test]
            async fn $story() {
                stories::$story::<$server>().await;
            })+
        }
    )+};
}

macro_rules! all_stories {
    ($($kind:ident: $server:ty;)+) => {
        told_over! {$($kind: $server => [
            registrations_come_and_go,
            components_learn_how_often_to_register,
            a_start_is_told_again_after_each_reconnect,
            a_wrong_password_is_named,
            a_password_may_hold_any_character,
            the_second_server_serves_when_the_first_is_down,
            the_second_server_serves_when_the_first_refuses,
            a_dead_server_is_replaced_by_the_next,
            malformed_messages_cost_only_themselves,
            a_flood_passes,
            pruning_rests_while_the_server_is_down,
            an_outage_is_told_in_the_log,
        ];)+}
    };
}

all_stories! {
    real: broker::RealServer;
    small: broker::SmallServer;
}

#[tokio::test]
async fn a_subject_that_is_no_text_costs_a_reconnect() {
    stories::a_subject_that_is_no_text_costs_a_reconnect::<broker::RealServer>().await;
}

#[tokio::test]
async fn without_a_server_a_start_fails_after_three_tries() {
    stories::without_a_server_a_start_fails_after_three_tries().await;
}
