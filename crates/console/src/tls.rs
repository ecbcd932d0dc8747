//! How browsers on other machines know this device: a certificate that it made for itself.
//!
//! No authority vouches for a device in a home or a workshop, so a browser warns of the certificate, and a person compares
//! its fingerprint with what the device shows. To make that necessary only once for each browser, key and certificate
//! are kept with the device's state.

use std::{fmt, sync::Arc, time::Duration};

use data_encoding::HEXUPPER;
use pem_rfc7468::LineEnding;
use rcgen::{CertificateParams, DnType, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, pem::PemObject},
    version::TLS13,
};
use sha2::{Digest, Sha256};

/// How long a handshake may take.
pub const MAX_HANDSHAKE: Duration = Duration::from_secs(10);

const KEY: &str = "PRIVATE KEY";
const CERTIFICATE: &str = "CERTIFICATE";

/// A certificate and its key.
pub struct Identity {
    key: PrivatePkcs8KeyDer<'static>,
    certificate: CertificateDer<'static>,
}

/// Why there is no certificate.
#[derive(Debug)]
#[non_exhaustive]
pub enum TlsError {
    /// The text holds no key or no certificate.
    Unreadable(String),
    /// They do not belong together, or nothing here can use them.
    Unusable(String),
    /// A new one could not be made.
    Making(String),
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(why) => write!(f, "it holds no key with its certificate ({why})"),
            Self::Unusable(why) => write!(f, "its key and certificate cannot be used ({why})"),
            Self::Making(why) => write!(f, "no certificate could be made ({why})"),
        }
    }
}

impl std::error::Error for TlsError {}

impl Identity {
    /// A new one: ECDSA on P-256, which every browser takes, without an end that a device's wrong clock could miss.
    pub fn generate(name: &str) -> Result<Self, TlsError> {
        let making = |error: rcgen::Error| TlsError::Making(error.to_string());
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(making)?;
        let mut params = CertificateParams::new(Vec::new()).map_err(making)?;
        params.distinguished_name.push(DnType::CommonName, format!("Tutti on {name}"));
        let certificate = params.self_signed(&key).map_err(making)?;
        Ok(Self { key: key.serialize_der().into(), certificate: certificate.der().clone() })
    }

    /// Reads what [`Self::pem`] wrote.
    pub fn parse(pem: &str) -> Result<Self, TlsError> {
        let unreadable = |error: rustls::pki_types::pem::Error| TlsError::Unreadable(error.to_string());
        let key = PrivatePkcs8KeyDer::from_pem_slice(pem.as_bytes()).map_err(unreadable)?;
        let certificate = CertificateDer::from_pem_slice(pem.as_bytes()).map_err(unreadable)?;
        Ok(Self { key, certificate })
    }

    /// Both as text, to be kept where only the device's owner can read it.
    pub fn pem(&self) -> Result<String, TlsError> {
        let write = |label, der| {
            pem_rfc7468::encode_string(label, LineEnding::LF, der).map_err(|error| TlsError::Making(error.to_string()))
        };
        Ok(write(KEY, self.key.secret_pkcs8_der())? + &write(CERTIFICATE, &self.certificate)?)
    }

    /// The SHA-256 of the certificate, as browsers show it.
    pub fn fingerprint(&self) -> String {
        let pairs: Vec<_> = Sha256::digest(&self.certificate).iter().map(|byte| HEXUPPER.encode(&[*byte])).collect();
        pairs.join(":")
    }

    /// What a server needs: TLS 1.3 only, HTTP/1.1 only.
    pub fn server(self) -> Result<Arc<ServerConfig>, TlsError> {
        let unusable = |error: rustls::Error| TlsError::Unusable(error.to_string());
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[&TLS13])
            .map_err(unusable)?
            .with_no_client_auth()
            .with_single_cert(vec![self.certificate], PrivateKeyDer::Pkcs8(self.key))
            .map_err(unusable)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_same_after_it_was_kept() {
        let first = Identity::generate("kitchen").unwrap();
        let again = Identity::parse(&first.pem().unwrap()).unwrap();
        assert_eq!(again.fingerprint(), first.fingerprint());
        assert_eq!(first.fingerprint().len(), 32 * 3 - 1);
        assert!(again.server().is_ok());
        assert_ne!(Identity::generate("kitchen").unwrap().fingerprint(), first.fingerprint());
    }

    #[test]
    fn what_is_not_one_is_refused() {
        let good = Identity::generate("kitchen").unwrap().pem().unwrap();
        let (key, certificate) = good.split_at(good.find("-----BEGIN CERTIFICATE").unwrap());
        for bad in ["", "nonsense", key, certificate, &good[..good.len() / 2]] {
            assert!(matches!(Identity::parse(bad), Err(TlsError::Unreadable(_))), "{bad:?}");
        }
        let other = Identity::generate("hall").unwrap().pem().unwrap();
        let mixed = format!("{key}{}", &other[other.find("-----BEGIN CERTIFICATE").unwrap()..]);
        assert!(matches!(Identity::parse(&mixed).unwrap().server(), Err(TlsError::Unusable(_))));
    }
}
