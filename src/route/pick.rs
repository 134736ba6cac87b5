//! Which endpoint of a pool takes the next attempt.
