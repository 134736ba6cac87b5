//! Which endpoint of a pool takes the next attempt: round-robin (gorouter.md section 5).
//!
//! A [`Rotation`] lives as long as one request. It moves the route's cursor at most one step, however many
//! attempts the request needs, and remembers which endpoints were tried.

use std::{sync::Arc, time::Duration};

use super::{lease::Lease, moment::Moment, pool::Pool};

/// What makes an endpoint unfit for the moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Requests that one endpoint may work on before it counts as overloaded; 0 means no limit.
    pub max_conns: u32,
    /// How long an endpoint rests after a failure; zero means not at all.
    pub rest: Duration,
}

/// Why no endpoint can be picked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unavailable {
    /// The pool has no endpoints.
    #[error("the pool has no endpoints")]
    Empty,
    /// Every endpoint is at its limit.
    #[error("every endpoint is at its connection limit")]
    Overloaded,
    /// There were as many attempts as endpoints, and what could be picked now was tried before.
    #[error("every endpoint that is left was tried")]
    Exhausted,
}

/// Round-robin over one pool for one request. Give it the same pool at every call: places are what it
/// remembers.
#[derive(Debug)]
pub struct Rotation {
    first: Option<usize>,
    /// Where the search for the next endpoint begins, once the cursor was asked.
    from: Option<usize>,
    attempts: usize,
    tried: Places,
}

/// How well an endpoint suits the next attempt; a smaller one is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fit {
    Untried,
    UntriedResting,
    Tried,
    TriedResting,
}

impl Rotation {
    /// A rotation for one request over `pool`. `first` is the place in [`Pool::leases`] to try first, even
    /// while the endpoint rests (as a sticky session asks for); if that is overloaded or not there, and for
    /// all later attempts, the order is the ordinary one.
    #[must_use]
    pub fn new(pool: &Pool, first: Option<usize>) -> Self {
        Self { first, from: None, attempts: 0, tried: Places::none_of(pool.leases().len()) }
    }

    /// The endpoint for the next attempt.
    ///
    /// Endpoints that rest or are overloaded are skipped. If that leaves none, the marks of failure in
    /// the whole pool are forgotten and the search goes on. Untried endpoints come before tried ones, and
    /// once there were as many attempts as endpoints, a tried one is not picked again.
    ///
    /// # Errors
    ///
    /// When there is none to try.
    pub fn next<'p>(&mut self, pool: &'p Pool, now: Moment, limits: &Limits) -> Result<&'p Arc<Lease>, Unavailable> {
        let leases = pool.leases();
        let place = match self.first.take().filter(|place| leases.get(*place).is_some_and(|it| !is_full(it, limits))) {
            Some(place) => place,
            None => self.search(pool, now, limits)?,
        };
        self.attempts += 1;
        self.tried.add(place);
        leases.get(place).ok_or(Unavailable::Empty)
    }

    /// Whether an endpoint that has to prove itself by TLS is left untried.
    #[must_use]
    pub fn untried_tls(&self, pool: &Pool) -> bool {
        pool.leases().iter().enumerate().any(|(place, lease)| !self.tried.has(place) && lease.endpoint().peer.is_tls())
    }

    /// The best place, walking once round the pool.
    fn search(&mut self, pool: &Pool, now: Moment, limits: &Limits) -> Result<usize, Unavailable> {
        let leases = pool.leases();
        let start = self.start(pool).ok_or(Unavailable::Empty)?;
        self.from = Some(start);
        let mut best: Option<(Fit, usize)> = None;
        let mut all_rest = true;
        for place in (start..leases.len()).chain(0..start) {
            let lease = &leases[place];
            if is_full(lease, limits) {
                continue;
            }
            let rests = lease.is_resting(now, limits.rest);
            all_rest &= rests;
            let fit = match (self.tried.has(place), rests) {
                (false, false) => Fit::Untried,
                (false, true) => Fit::UntriedResting,
                (true, false) => Fit::Tried,
                (true, true) => Fit::TriedResting,
            };
            if best.is_none_or(|(so_far, _)| fit < so_far) {
                best = Some((fit, place));
            }
            if fit == Fit::Untried {
                break;
            }
        }
        let (fit, place) = best.ok_or(Unavailable::Overloaded)?;
        if fit >= Fit::Tried && self.attempts >= leases.len() {
            return Err(Unavailable::Exhausted);
        }
        if all_rest {
            leases.iter().for_each(|lease| lease.clear_failure());
        }
        self.from = Some((place + 1) % leases.len());
        Ok(place)
    }

    /// Where the search begins: behind the last pick, or where the cursor of the route stands. `None` for
    /// an empty pool. A single endpoint leaves the cursor, which all workers write, alone.
    fn start(&self, pool: &Pool) -> Option<usize> {
        match pool.leases().len() {
            0 => None,
            1 => Some(0),
            count => Some(self.from.unwrap_or_else(|| pool.route().advance()) % count),
        }
    }
}

fn is_full(lease: &Lease, limits: &Limits) -> bool {
    limits.max_conns != 0 && lease.endpoint().in_flight() >= limits.max_conns
}

/// A set of places in a pool; no allocation up to 64 of them.
#[derive(Debug)]
struct Places {
    low: u64,
    high: Vec<u64>,
}

impl Places {
    fn none_of(count: usize) -> Self {
        Self { low: 0, high: vec![0; count.div_ceil(64).saturating_sub(1)] }
    }

    fn add(&mut self, place: usize) {
        if let Some(word) = self.word_mut(place / 64) {
            *word |= 1 << (place % 64);
        }
    }

    fn has(&self, place: usize) -> bool {
        let word = match place / 64 {
            0 => Some(&self.low),
            beyond => self.high.get(beyond - 1),
        };
        word.is_some_and(|word| word & (1 << (place % 64)) != 0)
    }

    fn word_mut(&mut self, at: usize) -> Option<&mut u64> {
        match at {
            0 => Some(&mut self.low),
            beyond => self.high.get_mut(beyond - 1),
        }
    }
}

#[cfg(test)]
mod tests {
    use trueroute_identity::ExpectedName;

    use super::*;
    use crate::route::{
        endpoint::{Endpoint, Facts, InFlight},
        peer::{Identity, Peer},
        pool::Route,
    };

    const NOW: Moment = Moment::from_ms(100_000);
    const REST: Duration = Duration::from_secs(30);
    const LIMITS: Limits = Limits { max_conns: 1, rest: REST };

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
        let pool = Pool::new(Arc::new(Route::new("app.example.com", 0)), leases.collect(), NOW);
        Scene { pool, busy }
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
            let mut rotation = Rotation::new(&scene.pool, None);
            assert_eq!(picks(&scene, &mut rotation, |_| ()), (wanted.to_vec(), end), "{letters:?}");
        }
    }

    #[test]
    fn an_untried_endpoint_that_becomes_free_is_tried_however_late() {
        let mut scene = scene(".ff");
        let mut rotation = Rotation::new(&scene.pool, None);
        assert_eq!(picks(&scene, &mut rotation, |_| ()), (vec![0, 0, 0], Unavailable::Exhausted));
        scene.busy.clear();
        assert_eq!(picks(&scene, &mut rotation, |_| ()), (vec![1, 2], Unavailable::Exhausted));
    }

    #[test]
    fn each_request_moves_the_cursor_one_step() {
        let scene = scene("...");
        let firsts = (0..7).map(|_| {
            let mut rotation = Rotation::new(&scene.pool, None);
            let first = rotation.next(&scene.pool, NOW, &LIMITS).unwrap().endpoint().peer.port() - 1;
            rotation.next(&scene.pool, NOW, &LIMITS).unwrap();
            first
        });
        assert_eq!(firsts.collect::<Vec<_>>(), [0, 1, 2, 0, 1, 2, 0]);
    }

    #[test]
    fn a_single_endpoint_leaves_the_cursor_alone() {
        let scene = scene(".");
        Rotation::new(&scene.pool, None).next(&scene.pool, NOW, &LIMITS).unwrap();
        assert_eq!(scene.pool.route().advance(), 0);
    }

    #[test]
    fn marks_are_forgotten_when_nothing_else_is_left() {
        for (letters, rests_afterwards) in
            [("rrr", false), ("rfr", false), ("r.r", true), ("rff", false), ("bff", true)]
        {
            let scene = scene(letters);
            let _ = Rotation::new(&scene.pool, None).next(&scene.pool, NOW, &LIMITS);
            let rests = scene.pool.leases().iter().any(|lease| lease.is_resting(NOW, REST));
            assert_eq!(rests, rests_afterwards, "{letters}");
        }
    }

    #[test]
    fn a_failure_marked_in_this_request_does_not_end_it() {
        let scene = scene("...");
        let mut rotation = Rotation::new(&scene.pool, None);
        assert_eq!(picks(&scene, &mut rotation, |lease| lease.mark_failed(NOW)).0, [0, 1, 2]);
        assert!(scene.pool.leases().iter().all(|lease| lease.is_resting(NOW, REST)));
        assert!(Rotation::new(&scene.pool, None).next(&scene.pool, NOW, &LIMITS).is_ok());
    }

    #[test]
    fn rest_ends_with_its_window() {
        let scene = scene("r.");
        let pick = |now| {
            let mut rotation = Rotation::new(&scene.pool, None);
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
            let mut rotation = Rotation::new(&scene.pool, Some(first));
            let lease = rotation.next(&scene.pool, NOW, &LIMITS).unwrap();
            assert_eq!(lease.endpoint().peer.port() - 1, wanted, "{letters} {first}");
        }
        let scene = scene("...");
        let mut rotation = Rotation::new(&scene.pool, Some(1));
        assert_eq!(picks(&scene, &mut rotation, |_| ()).0, [1, 0, 2]);
    }

    #[test]
    fn untried_tls_endpoints_are_known() {
        let scene = scene(".:R");
        let mut rotation = Rotation::new(&scene.pool, None);
        let mut left = vec![rotation.untried_tls(&scene.pool)];
        while rotation.next(&scene.pool, NOW, &LIMITS).is_ok() {
            left.push(rotation.untried_tls(&scene.pool));
        }
        assert_eq!(left, [true, true, true, false]);
    }

    #[test]
    fn a_large_pool_is_tried_to_its_end() {
        let scene = scene(&".".repeat(200));
        let mut rotation = Rotation::new(&scene.pool, Some(130));
        let (mut places, end) = picks(&scene, &mut rotation, |_| ());
        assert_eq!((places[0], end), (130, Unavailable::Exhausted));
        places.sort_unstable();
        assert_eq!(places, (0..200).collect::<Vec<_>>());
    }
}
