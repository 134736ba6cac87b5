//! Every algorithm against what a naive reading of its rule allows.

use proptest::{collection::vec, prelude::*};

use super::*;
use crate::route::{
    balancing::{Balancing, Hashing},
    endpoint::Options,
    lease::Lease,
};

const ZONES: [&str; 3] = ["z1", "z2", ""];
const MAX: u32 = 3;

/// How one endpoint is at the moment of a pick.
#[derive(Clone, Copy, Debug)]
struct State {
    in_flight: u32,
    rests: bool,
    zone: usize,
}

fn states() -> impl Strategy<Value = Vec<State>> {
    let state = (0..=MAX, prop::bool::weighted(0.3), 0..ZONES.len());
    vec(state.prop_map(|(in_flight, rests, zone)| State { in_flight, rests, zone }), 1..100)
}

/// A pool of endpoints in these states, with what keeps them busy.
fn pool(states: &[State], asked: &Options) -> (Pool, Vec<InFlight>) {
    let mut busy = Vec::new();
    let leases = states.iter().zip(1..).map(|(state, port)| {
        let facts = Facts {
            instance_id: format!("instance {port}").into(),
            availability_zone: ZONES[state.zone].into(),
            ..Facts::default()
        };
        let endpoint = Arc::new(Endpoint::new(Peer::new("10.0.0.1", port, Identity::Plain), facts));
        busy.extend((0..state.in_flight).map(|_| endpoint.begin()));
        let lease = Arc::new(Lease::new(endpoint, NOW));
        if state.rests {
            lease.mark_failed(NOW);
        }
        lease
    });
    let leases = leases.collect();
    let balancing = Balancing::asked(Some(asked), Algorithm::RoundRobin, None);
    (Pool::new(Route::new("app.example.com", 0), leases, NOW).balanced(balancing), busy)
}

fn asked(loadbalancing: &str, hash_balance: f64) -> Options {
    Options { loadbalancing: loadbalancing.into(), hash_header: "x-key".into(), hash_balance }
}

fn limits(zone: Option<&str>) -> Limits {
    Limits { max_conns: MAX, rest: REST, zone: zone.map(Into::into) }
}

fn place(lease: &Lease) -> usize {
    usize::from(lease.endpoint().peer.port()) - 1
}

/// The endpoints that the rules allow for an attempt: not full, untried before tried, fit before resting.
fn allowed(states: &[State], tried: &[usize], forgiven: bool) -> Vec<usize> {
    let open = (0..states.len()).filter(|at| states[*at].in_flight < MAX);
    let rank = |at: &usize| (tried.contains(at), states[*at].rests && !forgiven);
    let best = open.clone().map(|at| rank(&at)).min();
    open.filter(|at| Some(rank(at)) == best).collect()
}

/// One request that fails everywhere: at each step what was allowed, and what was picked.
fn told(pool: &Pool, states: &[State], wish: Wish, limits: &Limits) -> Vec<(Vec<usize>, usize)> {
    let (mut tried, mut steps) = (Vec::new(), Vec::new());
    let mut rotation = Rotation::new(pool, wish);
    loop {
        let forgiven = pool.leases().iter().all(|lease| !lease.is_resting(NOW, REST));
        let allowed = allowed(states, &tried, forgiven);
        match rotation.next(pool, NOW, limits) {
            Ok(lease) => {
                tried.push(place(lease));
                steps.push((allowed, place(lease)));
            }
            Err(Unavailable::Overloaded) => {
                assert!(allowed.is_empty());
                return steps;
            }
            Err(_) => {
                assert!(steps.len() >= states.len() && allowed.iter().all(|at| tried.contains(at)));
                return steps;
            }
        }
    }
}

fn key(of: u64) -> Wish {
    Wish { key: Some(Hashing::key(&of.to_le_bytes())), ..Wish::default() }
}

proptest! {
    #[test]
    fn no_algorithm_leaves_the_best_endpoints_aside(
        states in states(), algorithm in 0_usize..4, own in 0..ZONES.len(), zoned: bool, request: u64
    ) {
        let options = asked(["round-robin", "least-connection", "hash", "hash"][algorithm], [0.0, 0.0, 0.0, 1.25][algorithm]);
        let (pool, _busy) = pool(&states, &options);
        let steps = told(&pool, &states, key(request), &limits(zoned.then_some(ZONES[own])));
        for (number, (allowed, picked)) in steps.iter().enumerate() {
            prop_assert!(allowed.contains(picked), "attempt {} went to {} and not to {:?}", number + 1, picked, allowed);
        }
        let open = states.iter().filter(|state| state.in_flight < MAX).count();
        let mut first: Vec<_> = steps.iter().take(open).map(|(_, picked)| *picked).collect();
        first.sort_unstable();
        first.dedup();
        prop_assert_eq!(first.len(), open, "each is tried once before one is tried twice");
    }

    #[test]
    fn the_own_zone_comes_first_and_only_at_first(states in states(), own in 0..ZONES.len(), load: bool) {
        let options = asked(if load { "least-connection" } else { "round-robin" }, 0.0);
        let (pool, _busy) = pool(&states, &options);
        let steps = told(&pool, &states, Wish::default(), &limits(Some(ZONES[own])));
        if let Some((allowed, picked)) = steps.first() {
            let here = |at: &usize| states[*at].zone == own;
            prop_assert!(here(picked) || !allowed.iter().any(here) || states.len() == 1);
        }
        if load {
            for (allowed, picked) in steps.iter().skip(1) {
                let least = allowed.iter().map(|at| states[*at].in_flight).min();
                prop_assert_eq!(Some(states[*picked].in_flight), least, "the zone no longer counts");
            }
        }
    }

    #[test]
    fn the_least_busy_endpoint_is_the_least_busy_one(states in states()) {
        let (pool, _busy) = pool(&states, &asked("least-connection", 0.0));
        for (allowed, picked) in told(&pool, &states, Wish::default(), &limits(None)) {
            let least = allowed.iter().map(|at| states[*at].in_flight).min();
            prop_assert_eq!(Some(states[picked].in_flight), least);
        }
    }

    #[test]
    fn a_key_stays_where_it_is(count in 2_u16..40, request: u64, gone in 0_usize..40) {
        let fine = State { in_flight: 0, rests: false, zone: 0 };
        let (full, _busy) = pool(&vec![fine; usize::from(count)], &asked("hash", 0.0));
        let owner = |pool: &Pool| {
            let mut rotation = Rotation::new(pool, key(request));
            place(rotation.next(pool, NOW, &limits(Some("z2"))).unwrap())
        };
        let before = owner(&full);
        prop_assert_eq!(owner(&full), before);
        let mut leases = full.leases().to_vec();
        leases.rotate_left(1);
        prop_assert_eq!(owner(&full.with(leases.clone(), NOW)), before, "the order of registration plays no part");
        let gone = gone % usize::from(count);
        leases.retain(|lease| place(lease) != gone);
        let after = owner(&full.with(leases, NOW));
        prop_assert!(after != gone);
    }

    #[test]
    fn a_busy_owner_hands_its_key_on(count in 2_u16..40, request: u64, busy in 1_u32..MAX) {
        let fine = State { in_flight: 0, rests: false, zone: 0 };
        let states = vec![fine; usize::from(count)];
        let (plain, _none) = pool(&states, &asked("hash", 0.0));
        let owner = place(Rotation::new(&plain, key(request)).next(&plain, NOW, &limits(None)).unwrap());
        let mut loaded = states.clone();
        loaded[owner].in_flight = busy;
        let picked = |balance| {
            let (pool, _busy) = pool(&loaded, &asked("hash", balance));
            place(Rotation::new(&pool, key(request)).next(&pool, NOW, &limits(None)).unwrap())
        };
        prop_assert_eq!(picked(0.0), owner);
        prop_assert!(picked(1.25) != owner);
        prop_assert_eq!(picked(f64::from(count)), owner, "it has no more than so many times the average");
    }
}

/// Turns go round among equals only, wherever the others are.
#[test]
fn equals_have_equal_shares() {
    let state = |zone, rests| State { in_flight: 0, rests, zone };
    for (algorithm, states) in [
        ("round-robin", vec![state(0, false), state(0, false), state(1, false), state(1, false), state(1, false)]),
        ("least-connection", vec![state(1, false), state(0, false), state(1, false), state(0, true), state(0, false)]),
    ] {
        let (pool, _busy) = pool(&states, &asked(algorithm, 0.0));
        let mut shares = vec![0; states.len()];
        for _ in 0..100 {
            shares[place(Rotation::new(&pool, Wish::default()).next(&pool, NOW, &limits(Some("z1"))).unwrap())] += 1;
        }
        let own: Vec<_> = shares.iter().filter(|share| **share > 0).collect();
        assert_eq!(own, [&50, &50], "{algorithm} {shares:?}");
    }
}
