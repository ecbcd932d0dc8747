//! Files in a storage resource.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The files of a storage resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StorageList {
    /// The files, by path.
    pub entries: Vec<StorageEntry>,
    /// Bytes used by all files.
    pub used: u64,
    /// Bytes that all files together may use.
    pub quota: u64,
}

/// A file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StorageEntry {
    /// Its path, `/` between folders.
    pub path: String,
    /// Its size in bytes.
    pub size: u64,
    /// When it was written: milliseconds since 1970.
    pub modified: u64,
}

/// A file was stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Stored {
    /// Its path.
    pub path: String,
    /// Its size in bytes.
    pub size: u64,
}
