//! The TLS half of both ALPNs: TLS 1.3 only, ring only, no resumption and no early data.
//!
//! Without resumption there is no session ticket that outlives a revocation, and nothing that
//! a second hub process would have to share.

use std::sync::Arc;

use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use rustls::client::Resumption;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateDer;
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::pki::{
    CaFingerprint, FingerprintVerifier, HubIdentity, NodeCredentials, NodeVerifier,
    PinnedHubVerifier, PkiError,
};

/// What a node and the hub speak once the node has a certificate.
pub const ALPN_SYNC: &[u8] = b"mwimule-sync/1";
/// What a device speaks that has only an enrolment code.
pub const ALPN_ENROL: &[u8] = b"mwimule-enrol/1";

/// TLS alert `no_application_protocol`.
pub(crate) const ALERT_NO_ALPN: u8 = 120;

pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// Shows the CA only to a device that enrols: a node has it already.
#[derive(Debug)]
struct HubCertificates {
    sync: Arc<CertifiedKey>,
    enrol: Arc<CertifiedKey>,
}

impl ResolvesServerCert for HubCertificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let enrols = hello
            .alpn()
            .is_some_and(|mut offered| offered.any(|alpn| alpn == ALPN_ENROL));
        Some(Arc::clone(if enrols { &self.enrol } else { &self.sync }))
    }
}

pub(crate) fn hub(identity: &HubIdentity) -> Result<QuicServerConfig, PkiError> {
    let key = rustls::crypto::ring::sign::any_supported_type(&identity.hub_key_der())
        .map_err(|error| make(&error))?;
    let ca = CertificateDer::from(identity.ca_certificate().to_vec());
    let hub = identity.hub_certificate();
    let certificates = HubCertificates {
        sync: Arc::new(CertifiedKey::new(vec![hub.clone()], Arc::clone(&key))),
        enrol: Arc::new(CertifiedKey::new(vec![hub, ca.clone()], key)),
    };
    let mut config = rustls::ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| make(&error))?
        .with_client_cert_verifier(Arc::new(NodeVerifier::new(&ca)?))
        .with_cert_resolver(Arc::new(certificates));
    config.alpn_protocols = vec![ALPN_SYNC.to_vec(), ALPN_ENROL.to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.max_early_data_size = 0;
    QuicServerConfig::try_from(config).map_err(|error| make(&error))
}

pub(crate) fn node(credentials: &NodeCredentials) -> Result<QuicClientConfig, PkiError> {
    let ca = CertificateDer::from(credentials.ca_certificate().to_vec());
    let certificate = CertificateDer::from(credentials.certificate().to_vec());
    let config = client_builder(Arc::new(PinnedHubVerifier::new(&ca)?))?
        .with_client_auth_cert(vec![certificate], credentials.key_der())
        .map_err(|error| make(&error))?;
    client(config, ALPN_SYNC)
}

pub(crate) fn device(fingerprint: CaFingerprint) -> Result<QuicClientConfig, PkiError> {
    let config =
        client_builder(Arc::new(FingerprintVerifier::new(fingerprint)))?.with_no_client_auth();
    client(config, ALPN_ENROL)
}

type ClientBuilder = rustls::ConfigBuilder<rustls::ClientConfig, rustls::client::WantsClientCert>;

pub(crate) fn client_builder(
    verifier: Arc<dyn ServerCertVerifier>,
) -> Result<ClientBuilder, PkiError> {
    Ok(rustls::ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| make(&error))?
        .dangerous()
        .with_custom_certificate_verifier(verifier))
}

pub(crate) fn client(
    mut config: rustls::ClientConfig,
    alpn: &[u8],
) -> Result<QuicClientConfig, PkiError> {
    config.alpn_protocols = vec![alpn.to_vec()];
    config.resumption = Resumption::disabled();
    config.enable_early_data = false;
    QuicClientConfig::try_from(config).map_err(|error| make(&error))
}

fn make(error: &dyn core::fmt::Display) -> PkiError {
    PkiError::Make(error.to_string())
}
