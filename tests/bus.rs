//! Stories about the bus, each told over a real nats-server and over the testkit's small one.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a story whose scene cannot be set must stop there")]

#[path = "bus/broker.rs"]
mod broker;
#[allow(dead_code, reason = "shared with the unit tests, which look at more")]
#[path = "../src/bus/capture.rs"]
mod capture;
#[path = "bus/failover.rs"]
mod failover;
#[path = "bus/floods.rs"]
mod floods;
#[path = "bus/router.rs"]
mod router;
#[path = "bus/secure.rs"]
mod secure;
#[path = "bus/stories.rs"]
mod stories;

/// Declares a test per story and kind of server.
macro_rules! told_over {
    ($($kind:ident: $server:ty => [$($from:ident::$story:ident),+ $(,)?];)+) => {$(
        mod $kind {
            use super::*;
            $(#[tokio::test]
            async fn $story() {
                $from::$story::<$server>().await;
            })+
        }
    )+};
}

macro_rules! all_stories {
    ($($kind:ident: $server:ty;)+) => {
        told_over! {$($kind: $server => [
            stories::registrations_come_and_go,
            stories::components_learn_how_often_to_register,
            stories::a_start_is_told_again_after_each_reconnect,
            stories::a_wrong_password_is_named,
            stories::a_password_may_hold_any_character,
            stories::the_second_server_serves_when_the_first_is_down,
            stories::the_second_server_serves_when_the_first_refuses,
            stories::a_dead_server_is_replaced_by_the_next,
            stories::a_connection_that_is_closed_for_good_is_an_end,
            stories::malformed_messages_cost_only_themselves,
            stories::a_flood_passes,
            stories::pruning_rests_while_the_server_is_down,
            stories::an_outage_is_told_in_the_log,
            failover::a_server_that_was_down_at_the_start_takes_over,
            failover::after_a_long_outage_the_return_is_noticed_at_once,
            failover::a_lame_duck_is_left_for_another_server,
            failover::a_lame_duck_is_better_than_no_server,
            floods::what_a_flood_made_it_drop_is_counted_and_asked_for_again,
            floods::used_apps_are_told_and_so_is_that_there_are_none,
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
#[ignore = "a minute of work: for figures, with --ignored --nocapture"]
async fn a_million_registrations_arrive() {
    floods::a_million_registrations_arrive::<broker::RealServer>().await;
}

#[tokio::test]
async fn without_a_server_a_start_fails_after_three_tries() {
    stories::without_a_server_a_start_fails_after_three_tries().await;
}
