//! The memory map of the chip, by its System Device Tree.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Who has which memory of this chip, as its System Device Tree says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MemoryMap {
    /// The files that it is of; none if the device has no tree, and then there is nothing else either.
    pub files: Vec<String>,
    /// What the tree calls the chip; empty if it does not say.
    pub model: String,
    /// The domains, outer before inner.
    pub domains: Vec<MemoryDomain>,
    /// Stretches of memory: what the chip has, and what each domain has of it.
    pub blocks: Vec<MemoryBlock>,
}

/// A domain: an operating environment, and the processors that it runs on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MemoryDomain {
    /// Its name.
    pub name: String,
    /// Its processors: the name of each cluster, and which of it.
    pub cpus: Vec<String>,
}

/// A stretch of memory, and who has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MemoryBlock {
    /// The domain that has it, by its place in `domains`; none for what the chip has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain: Option<u32>,
    /// Its first address, in hexadecimal behind `0x`: numbers of 64 bits are no numbers in many languages.
    pub start: String,
    /// Its bytes, written the same way; never none.
    pub size: String,
    /// The name of its node.
    pub name: String,
    /// Whether it is a carveout rather than memory.
    pub carveout: bool,
    /// Whether two domains have it, neither of which is within the other.
    pub shared: bool,
}
