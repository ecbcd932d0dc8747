//! Short lists that the user made (links, cores), kept as JSON under one key of the settings.

use serde::{Serialize, de::DeserializeOwned};

use super::{SaveError, State, Table};

impl State {
    /// The list under this key; empty if there is none. One that cannot be read is left out, and said: a device that starts without it is
    /// worth more than none.
    pub(crate) async fn load_list<T: DeserializeOwned>(&self, key: &'static str) -> Result<Vec<T>, SaveError> {
        let state = self.clone();
        let loaded = tokio::task::spawn_blocking(move || state.load(Table::Settings, key)).await;
        let Some(bytes) = loaded.unwrap_or(Err(SaveError::Closed))? else { return Ok(Vec::new()) };
        Ok(serde_json::from_slice(&bytes).unwrap_or_else(|error| {
            tracing::error!(%error, "the list of {key} that was kept cannot be read and is left out");
            Vec::new()
        }))
    }

    /// Keeps a list under this key; it is on disk when this returns.
    pub(crate) async fn save_list<T: Serialize>(&self, key: &'static str, list: &[T]) -> Result<(), SaveError> {
        let bytes = serde_json::to_vec(list).map_err(|error| SaveError::Io(error.to_string()))?;
        let state = self.clone();
        let saved = tokio::task::spawn_blocking(move || state.save(Table::Settings, key, &bytes)).await;
        saved.unwrap_or(Err(SaveError::Closed))
    }
}
