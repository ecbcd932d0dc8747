//! Makes images, for tests of whoever takes them.

use ed25519_dalek::SigningKey;
use tutti_model::{
    section::{SectionWriter, Tag},
    signed::Signed,
};

use crate::image::{Key, MANIFEST_TAG, MEMBER_TAG, SIGNATURE_TAG, SIGNED};

/// A key, and what a device knows of it.
pub fn key(seed: u8) -> (SigningKey, Key) {
    let key = SigningKey::from_bytes(&[seed; 32]);
    let public = Key::new(key.verifying_key().to_bytes());
    (key, public)
}

/// An image that is being made.
#[derive(Debug, Clone)]
pub struct Made {
    product: String,
    version: String,
    role: &'static str,
    kernel_version: String,
    architecture: String,
    members: Vec<(&'static str, Vec<u8>)>,
}

impl Made {
    /// With this archive as its system.
    pub fn new(product: &str, version: &str, system: &[u8]) -> Self {
        let members = vec![("initramfs", system.to_vec())];
        Self {
            product: product.into(),
            version: version.into(),
            role: "initramfs",
            kernel_version: String::new(),
            architecture: String::new(),
            members,
        }
    }

    /// With a kernel before it.
    #[must_use]
    pub fn kernel(mut self, bytes: &[u8]) -> Self {
        self.members.insert(0, ("kernel", bytes.to_vec()));
        self
    }

    /// For a kernel that calls itself so.
    #[must_use]
    pub fn for_kernel(mut self, version: &str) -> Self {
        self.kernel_version = version.into();
        self
    }

    /// For this processor.
    #[must_use]
    pub fn for_processor(mut self, architecture: &str) -> Self {
        self.architecture = architecture.into();
        self
    }

    /// The system said to be something else.
    #[must_use]
    pub const fn role(mut self, role: &'static str) -> Self {
        self.role = role;
        self
    }

    /// The image.
    ///
    /// # Panics
    /// If a member is larger than 4 GiB.
    pub fn sign(&self, key: &SigningKey) -> Vec<u8> {
        let members = self.members.iter().map(|(name, bytes)| {
            let role = if *name == "initramfs" { self.role } else { name };
            let digest = blake3::hash(bytes).to_hex().to_string();
            serde_json::json!({ "name": name, "role": role, "size": bytes.len(), "digest": digest, "why": "a test" })
        });
        let manifest = serde_json::json!({
            "format": 1, "product": self.product, "version": self.version, "profile": "standard", "board": "test",
            "architecture": self.architecture, "kernel": self.kernel_version, "parts": [], "members": members.collect::<Vec<_>>(),
        });
        let manifest = manifest.to_string();
        let signed = Signed::sign(SIGNED, blake3::hash(manifest.as_bytes()).as_bytes().to_vec(), key);
        let signature = [key.verifying_key().as_bytes().as_slice(), signed.signature()].concat();
        let mut writer = SectionWriter::new();
        writer.push_raw(Tag(MANIFEST_TAG), 1, manifest.as_bytes()).expect("it is short");
        writer.push_raw(Tag(SIGNATURE_TAG), 1, &signature).expect("it is short");
        for (_, bytes) in &self.members {
            writer.push_raw(Tag(MEMBER_TAG), 1, bytes).expect("a test is small");
        }
        writer.finish()
    }
}
