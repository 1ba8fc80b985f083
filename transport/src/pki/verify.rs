//! Who is believed in a handshake: certificates are checked by signature, name and use, and
//! never by the clock.
//!
//! rustls' own verifiers do the checking; they are told that it is the second in which the
//! certificate begins to be valid.

use std::sync::Arc;
use std::time::Duration;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore,
    SignatureScheme,
};

use super::{CaFingerprint, HUB_SERVER_NAME, PkiError, parse};
use crate::tls::provider;

/// Believes the hub whose certificate the pinned CA issued.
#[derive(Debug)]
pub(crate) struct PinnedHubVerifier(Arc<WebPkiServerVerifier>);

impl PinnedHubVerifier {
    pub(crate) fn new(ca_certificate: &CertificateDer<'_>) -> Result<Self, PkiError> {
        WebPkiServerVerifier::builder_with_provider(roots(ca_certificate)?, provider())
            .build()
            .map(Self)
            .map_err(|error| PkiError::Certificate(error.to_string()))
    }
}

impl ServerCertVerifier for PinnedHubVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let begin = beginning(end_entity)?;
        self.0
            .verify_server_cert(end_entity, &[], server_name, &[], begin)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

/// Believes the hub that shows a CA with the expected fingerprint and a certificate of that CA.
#[derive(Debug)]
pub(crate) struct FingerprintVerifier {
    expected: CaFingerprint,
    provider: Arc<CryptoProvider>,
}

impl FingerprintVerifier {
    pub(crate) fn new(expected: CaFingerprint) -> Self {
        Self {
            expected,
            provider: provider(),
        }
    }
}

impl ServerCertVerifier for FingerprintVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let ca = intermediates
            .iter()
            .find(|ca| CaFingerprint::of_certificate(ca).is_ok_and(|f| f == self.expected))
            .ok_or(Error::InvalidCertificate(CertificateError::UnknownIssuer))?;
        PinnedHubVerifier::new(ca)
            .map_err(|_| Error::InvalidCertificate(CertificateError::BadEncoding))?
            .verify_server_cert(end_entity, &[], server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

/// Believes the nodes whose certificates the hub's CA issued; a peer without one is let in for
/// enrolment, and the endpoint refuses it for anything else.
#[derive(Debug)]
pub(crate) struct NodeVerifier(Arc<dyn ClientCertVerifier>);

impl NodeVerifier {
    pub(crate) fn new(ca_certificate: &CertificateDer<'_>) -> Result<Self, PkiError> {
        WebPkiClientVerifier::builder_with_provider(roots(ca_certificate)?, provider())
            .allow_unauthenticated()
            .clear_root_hint_subjects()
            .build()
            .map(Self)
            .map_err(|error| PkiError::Certificate(error.to_string()))
    }
}

impl ClientCertVerifier for NodeVerifier {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.0.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let begin = beginning(end_entity)?;
        self.0.verify_client_cert(end_entity, &[], begin)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

/// Checks that the hub's certificate would satisfy an edge that pinned this CA.
pub(super) fn check_hub_chain(
    ca_certificate: &CertificateDer<'_>,
    hub_certificate: &CertificateDer<'_>,
) -> Result<(), PkiError> {
    let bad = |error: &dyn core::fmt::Display| PkiError::Certificate(error.to_string());
    let name = ServerName::try_from(HUB_SERVER_NAME).map_err(|error| bad(&error))?;
    let now = UnixTime::since_unix_epoch(Duration::ZERO);
    PinnedHubVerifier::new(ca_certificate)?
        .verify_server_cert(hub_certificate, &[], &name, &[], now)
        .map(|_| ())
        .map_err(|error| bad(&error))
}

fn roots(ca_certificate: &CertificateDer<'_>) -> Result<Arc<RootCertStore>, PkiError> {
    let mut roots = RootCertStore::empty();
    roots
        .add(ca_certificate.clone().into_owned())
        .map_err(|error| PkiError::Certificate(error.to_string()))?;
    Ok(Arc::new(roots))
}

/// The second in which a certificate begins to be valid.
fn beginning(certificate: &CertificateDer<'_>) -> Result<UnixTime, Error> {
    let bad = Error::InvalidCertificate(CertificateError::BadEncoding);
    let parsed = parse(certificate).map_err(|_| bad.clone())?;
    let begin_s = u64::try_from(parsed.validity().not_before.timestamp()).map_err(|_| bad)?;
    Ok(UnixTime::since_unix_epoch(Duration::from_secs(begin_s)))
}
