//! The rooms' stores, in the one database.

use tutti_fabric::store::{Store, StoreError};

use crate::state::{State, Table};

/// One room's part of the state.
pub(crate) struct Part(pub(crate) State, pub(crate) Table);

impl Store for Part {
    fn load(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.0.load(self.1, key).map_err(|error| StoreError(error.to_string()))
    }

    fn save(&self, key: &str, bytes: &[u8]) -> Result<(), StoreError> {
        self.0.save(self.1, key, bytes).map_err(|error| StoreError(error.to_string()))
    }
}
