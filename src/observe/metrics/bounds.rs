//! Upper bounds of histogram buckets.

use thiserror::Error;

/// A bound is not above the one before it, or is not a finite number.
#[derive(Clone, Copy, Debug, PartialEq, Error)]
#[error("histogram buckets must be finite numbers in increasing order, but {value} at position {position} is not")]
pub struct NotIncreasing {
    /// Which bound, counted from 0.
    pub position: usize,
    /// The bound.
    pub value: f64,
}

/// Finite upper bounds in increasing order; the bucket for everything above the last is implied.
#[derive(Clone, Debug, PartialEq)]
pub struct Bounds(Box<[f64]>);

impl Bounds {
    /// Bounds from a configuration's list.
    ///
    /// # Errors
    ///
    /// [`NotIncreasing`] names the first bound out of order.
    pub fn new(bounds: Vec<f64>) -> Result<Self, NotIncreasing> {
        let mut below = f64::NEG_INFINITY;
        for (position, &value) in bounds.iter().enumerate() {
            if !value.is_finite() || value <= below {
                return Err(NotIncreasing { position, value });
            }
            below = value;
        }
        Ok(Self(bounds.into()))
    }

    /// The bounds in increasing order.
    #[must_use]
    pub fn as_slice(&self) -> &[f64] {
        &self.0
    }
}

/// The buckets of every histogram (`prometheus.meters.*_histogram_buckets`); the default is §11's.
#[derive(Clone, Debug, PartialEq)]
pub struct Buckets {
    /// `latency`, in milliseconds (`routing_response_latency_histogram_buckets`).
    pub routing_response_latency: Bounds,
    /// `gorouter_time`, in seconds.
    pub gorouter_time: Bounds,
    /// `route_lookup_time`, in nanoseconds.
    pub route_lookup_time: Bounds,
    /// `route_registration_latency`, in milliseconds.
    pub route_registration_latency: Bounds,
    /// `http_latency_seconds`.
    pub http_latency: Bounds,
}

impl Default for Buckets {
    fn default() -> Self {
        let request = [1., 2., 4., 6., 8., 10., 20., 40., 50., 100., 500., 1000.];
        Self {
            routing_response_latency: Bounds(request.into()),
            gorouter_time: Bounds(request.into()),
            route_lookup_time: Bounds((1..=10).map(|step| f64::from(step) * 10_000.).collect()),
            route_registration_latency: Bounds([0.1, 0.5, 1., 1.5, 2., 2.5, 3., 3.5, 4.].into()),
            http_latency: Bounds([0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6].into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_must_increase() {
        for (bounds, wrong) in [
            (vec![], None),
            (vec![0.5], None),
            (vec![-1., 0., 3.], None),
            (vec![1., 1.], Some(1)),
            (vec![1., 3., 2.], Some(2)),
            (vec![f64::INFINITY], Some(0)),
            (vec![0., f64::NAN], Some(1)),
        ] {
            let shown = format!("{bounds:?}");
            assert_eq!(Bounds::new(bounds).err().map(|e| e.position), wrong, "{shown}");
        }
    }

    #[test]
    fn the_defaults_would_pass_as_configuration() {
        let Buckets {
            routing_response_latency,
            gorouter_time,
            route_lookup_time,
            route_registration_latency,
            http_latency,
        } = Buckets::default();
        for bounds in
            [routing_response_latency, gorouter_time, route_lookup_time, route_registration_latency, http_latency]
        {
            assert_eq!(Bounds::new(bounds.as_slice().to_vec()), Ok(bounds));
        }
    }
}
