//! The table as `/routes` shows it (gorouter.md section 10).

use std::sync::Arc;

use serde::{Serialize, Serializer, ser::SerializeMap};

use crate::route::endpoint::Endpoint;

/// Every route with its endpoints, sorted by key. Serialises to the JSON object of `/routes`.
#[derive(Clone, Debug, Default)]
pub struct Listing {
    rows: Vec<(Box<str>, Vec<Arc<Endpoint>>)>,
}

impl Serialize for Listing {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_map(Some(self.rows.len()))?.end()
    }
}
