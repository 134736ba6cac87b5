mod model;

use trueroute_identity::ExpectedName;

use super::*;
use crate::route::{
    endpoint::{Endpoint, Facts, InFlight},
    peer::{Identity, Peer},
    pool::Route,
};

const NOW: Moment = Moment::from_ms(100_000);
const REST: Duration = Duration::from_secs(30);
const LIMITS: Limits = Limits { max_conns: 1, rest: REST, zone: None };

/// A pool described by one letter per endpoint: `.` is fine, `r` rests, `f` is full, `b` is both; a
/// capital letter (and `:`) is the same with TLS.
struct Scene {
    pool: Pool,
    busy: Vec<InFlight>,
}

fn scene(letters: &str) -> Scene {
    let mut busy = Vec::new();
    let leases = letters.chars().zip(1..).map(|(letter, port)| {
        let tls = letter == ':' || letter.is_ascii_uppercase();
        let identity = if tls { Identity::Tls(ExpectedName::new("instance")) } else { Identity::Plain };
        let endpoint = Arc::new(Endpoint::new(Peer::new("10.0.0.1", port, identity), Facts::default()));
        let lease = Arc::new(Lease::new(Arc::clone(&endpoint), NOW));
        if "rb".contains(letter.to_ascii_lowercase()) {
            lease.mark_failed(NOW);
        }
        if "fb".contains(letter.to_ascii_lowercase()) {
            busy.push(endpoint.begin());
        }
        lease
    });
    let pool = Pool::new(Route::new("app.example.com", 0), leases.collect(), NOW);
    Scene { pool, busy }
}

/// A request that asks for this place first.
fn at(place: usize) -> Wish {
    Wish { first: Some(place), ..Wish::default() }
}

/// The places picked in one request until no attempt is left, and what ended it.
fn picks(scene: &Scene, rotation: &mut Rotation, fate: impl Fn(&Lease)) -> (Vec<u16>, Unavailable) {
    let mut places = Vec::new();
    loop {
        match rotation.next(&scene.pool, NOW, &LIMITS) {
            Ok(lease) => {
                fate(lease);
                places.push(lease.endpoint().peer.port() - 1);
            }
            Err(why) => return (places, why),
        }
    }
}

#[test]
fn one_request_tries_each_endpoint_before_it_gives_up() {
    use Unavailable::{Empty, Exhausted, Overloaded};
    for (letters, wanted, end) in [
        ("", &[][..], Empty),
        (".", &[0], Exhausted),
        ("r", &[0], Exhausted),
        ("f", &[], Overloaded),
        ("...", &[0, 1, 2], Exhausted),
        ("r..", &[1, 2, 0], Exhausted),
        (".r.", &[0, 2, 1], Exhausted),
        ("rrr", &[0, 1, 2], Exhausted),
        ("fff", &[], Overloaded),
        ("bbb", &[], Overloaded),
        // The full ones stay out, and an endpoint is repeated until there were three attempts.
        (".ff", &[0, 0, 0], Exhausted),
        ("f.f", &[1, 1, 1], Exhausted),
        ("rf.", &[2, 0, 2], Exhausted),
    ] {
        let scene = scene(letters);
        let mut rotation = Rotation::new(&scene.pool, Wish::default());
        assert_eq!(picks(&scene, &mut rotation, |_| ()), (wanted.to_vec(), end), "{letters:?}");
    }
}

#[test]
fn an_untried_endpoint_that_becomes_free_is_tried_however_late() {
    let mut scene = scene(".ff");
    let mut rotation = Rotation::new(&scene.pool, Wish::default());
    assert_eq!(picks(&scene, &mut rotation, |_| ()), (vec![0, 0, 0], Unavailable::Exhausted));
    scene.busy.clear();
    assert_eq!(picks(&scene, &mut rotation, |_| ()), (vec![1, 2], Unavailable::Exhausted));
}

#[test]
fn each_request_moves_the_cursor_one_step() {
    let scene = scene("...");
    let firsts = (0..7).map(|_| {
        let mut rotation = Rotation::new(&scene.pool, Wish::default());
        let first = rotation.next(&scene.pool, NOW, &LIMITS).unwrap().endpoint().peer.port() - 1;
        rotation.next(&scene.pool, NOW, &LIMITS).unwrap();
        first
    });
    assert_eq!(firsts.collect::<Vec<_>>(), [0, 1, 2, 0, 1, 2, 0]);
}

#[test]
fn a_single_endpoint_leaves_the_cursor_alone() {
    let scene = scene(".");
    Rotation::new(&scene.pool, Wish::default()).next(&scene.pool, NOW, &LIMITS).unwrap();
    assert_eq!(scene.pool.route().advance(), 0);
}

#[test]
fn marks_are_forgotten_when_nothing_else_is_left() {
    for (letters, rests_afterwards) in [("rrr", false), ("rfr", false), ("r.r", true), ("rff", false), ("bff", true)] {
        let scene = scene(letters);
        let _ = Rotation::new(&scene.pool, Wish::default()).next(&scene.pool, NOW, &LIMITS);
        let rests = scene.pool.leases().iter().any(|lease| lease.is_resting(NOW, REST));
        assert_eq!(rests, rests_afterwards, "{letters}");
    }
}

#[test]
fn a_failure_marked_in_this_request_does_not_end_it() {
    let scene = scene("...");
    let mut rotation = Rotation::new(&scene.pool, Wish::default());
    assert_eq!(picks(&scene, &mut rotation, |lease| lease.mark_failed(NOW)).0, [0, 1, 2]);
    assert!(scene.pool.leases().iter().all(|lease| lease.is_resting(NOW, REST)));
    assert!(Rotation::new(&scene.pool, Wish::default()).next(&scene.pool, NOW, &LIMITS).is_ok());
}

#[test]
fn rest_ends_with_its_window() {
    let scene = scene("r.");
    let pick = |now| {
        let mut rotation = Rotation::new(&scene.pool, Wish::default());
        rotation.next(&scene.pool, now, &LIMITS).unwrap().endpoint().peer.port() - 1
    };
    assert_eq!(pick(NOW.after(REST - Duration::from_millis(1))), 1);
    assert_eq!(scene.pool.route().advance(), 1);
    assert_eq!(pick(NOW.after(REST)), 0);
}

#[test]
fn a_preferred_first_place_is_taken_unless_it_is_full() {
    for (letters, first, wanted) in [("...", 2, 2), ("..r", 2, 2), ("..f", 2, 0), ("...", 3, 0)] {
        let scene = scene(letters);
        let mut rotation = Rotation::new(&scene.pool, at(first));
        let lease = rotation.next(&scene.pool, NOW, &LIMITS).unwrap();
        assert_eq!(lease.endpoint().peer.port() - 1, wanted, "{letters} {first}");
    }
    let scene = scene("...");
    let mut rotation = Rotation::new(&scene.pool, at(1));
    assert_eq!(picks(&scene, &mut rotation, |_| ()).0, [1, 0, 2]);
}

#[test]
fn untried_tls_endpoints_are_known() {
    let scene = scene(".:R");
    let mut rotation = Rotation::new(&scene.pool, Wish::default());
    let mut left = vec![rotation.untried_tls(&scene.pool)];
    while rotation.next(&scene.pool, NOW, &LIMITS).is_ok() {
        left.push(rotation.untried_tls(&scene.pool));
    }
    assert_eq!(left, [true, true, true, false]);
}

#[test]
fn a_large_pool_is_tried_to_its_end() {
    let scene = scene(&".".repeat(200));
    let mut rotation = Rotation::new(&scene.pool, at(130));
    let (mut places, end) = picks(&scene, &mut rotation, |_| ());
    assert_eq!((places[0], end), (130, Unavailable::Exhausted));
    places.sort_unstable();
    assert_eq!(places, (0..200).collect::<Vec<_>>());
}

#[test]
fn the_one_that_must_serve_is_the_only_one_asked() {
    for (letters, place, wanted) in
        [("...", 1, &[1][..]), (".R:", 1, &[1]), ("r", 0, &[0]), (".f.", 1, &[]), ("..", 5, &[])]
    {
        let scene = scene(letters);
        let mut rotation = Rotation::new(&scene.pool, Wish { only: true, ..at(place) });
        assert_eq!(
            picks(&scene, &mut rotation, |_| ()),
            (wanted.to_vec(), Unavailable::Exhausted),
            "{letters} {place}"
        );
        assert!(!rotation.untried_tls(&scene.pool));
    }
}

#[test]
fn nobody_rests_in_a_part_of_a_pool() {
    let scene = scene("r..");
    let part = scene.pool.part(|_| true).unwrap();
    let picked = Rotation::new(&part, Wish::default()).next(&part, NOW, &LIMITS).unwrap();
    assert_eq!(picked.endpoint().peer.port(), 1);
    assert!(scene.pool.leases()[0].is_resting(NOW, REST), "the mark is not forgotten either");
    assert!(scene.pool.part(|_| false).is_none());
}
