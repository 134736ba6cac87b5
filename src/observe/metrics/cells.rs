//! Counters in memory that one worker owns.
//!
//! A cell is written by load and store, without a locked instruction, so one thread at a time may write
//! a [`Cells`]; any thread may read it. Cells start on a cache line of their own and fill it whole: no other
//! worker's writes ever take the line away.

use std::sync::atomic::{AtomicU64, Ordering};

/// Two cache lines, because the processor fetches them in pairs.
const CELLS_PER_LINE: usize = 16;

#[repr(align(128))]
#[derive(Debug, Default)]
struct Line([AtomicU64; CELLS_PER_LINE]);

/// A fixed number of 64-bit cells, all zero at birth.
#[derive(Debug)]
pub(super) struct Cells(Box<[Line]>);

impl Cells {
    pub(super) fn new(len: usize) -> Self {
        Self((0..len.div_ceil(CELLS_PER_LINE)).map(|_| Line::default()).collect())
    }

    #[inline]
    fn cell(&self, at: usize) -> &AtomicU64 {
        &self.0[at / CELLS_PER_LINE].0[at % CELLS_PER_LINE]
    }

    /// Adds `by` (wrapping) for the only writer.
    #[inline]
    pub(super) fn add(&self, at: usize, by: u64) {
        let cell = self.cell(at);
        cell.store(cell.load(Ordering::Relaxed).wrapping_add(by), Ordering::Relaxed);
    }

    /// Adds to a cell that holds the bits of an `f64`, for the only writer.
    #[inline]
    pub(super) fn add_f64(&self, at: usize, by: f64) {
        let cell = self.cell(at);
        let sum = f64::from_bits(cell.load(Ordering::Relaxed)) + by;
        cell.store(sum.to_bits(), Ordering::Relaxed);
    }

    /// Back to zero, while there is no writer.
    pub(super) fn clear(&self, at: usize) {
        self.cell(at).store(0, Ordering::Relaxed);
    }

    pub(super) fn read(&self, at: usize) -> u64 {
        self.cell(at).load(Ordering::Relaxed)
    }

    pub(super) fn read_f64(&self, at: usize) -> f64 {
        f64::from_bits(self.read(at))
    }
}
