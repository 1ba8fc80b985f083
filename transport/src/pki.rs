//! The hub's certificate authority, and the keys and certificates of hub and nodes.
//!
//! Every key is Ed25519: the smallest handshake. Certificates carry fixed, very wide dates and
//! nobody checks them: clocks in the field are wrong, and the hub ends a node by revoking it.
//!
//! A node's certificate names the node in its subject alternative name, as the URI
//! `mwimule:node:<uuid>`, and is good for client authentication only: it can never pass for
//! the hub.

mod files;
mod verify;

use core::fmt;
use std::path::Path;

use domain::codec::to_hex;
use domain::ids::NodeId;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName,
    DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PKCS_ED25519, SanType,
    SerialNumber,
};
use rustls::pki_types::{CertificateDer, CertificateSigningRequestDer, PrivateKeyDer};
use sha2::{Digest, Sha256};
use x509_parser::extensions::GeneralName;

pub(crate) use verify::{FingerprintVerifier, NodeVerifier, PinnedHubVerifier};

/// The name every hub's certificate bears; edges reach the hub by any address.
pub const HUB_SERVER_NAME: &str = "hub.mwimule";

/// The longest certificate signing request that is looked at, in bytes.
pub const CSR_BYTES_MAX: usize = 4096;

const NODE_URI_PREFIX: &str = "mwimule:node:";

/// What can be wrong with keys and certificates.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    /// A key or certificate could not be made.
    #[error("a key or certificate could not be made: {0}")]
    Make(String),
    /// A certificate could not be read.
    #[error("this is not a certificate of ours: {0}")]
    Certificate(String),
    /// A certificate signing request could not be accepted.
    #[error("the device's certificate request is not usable: {0}")]
    Request(String),
    /// A file of the identity could not be read or written.
    #[error("{path}: {source}: check the disk and who may read and write this folder")]
    File {
        /// The file or folder.
        path: String,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A file of the identity does not hold what its name says.
    #[error("{path} is damaged ({what}): restore the whole folder from its backup")]
    Damaged {
        /// The file.
        path: String,
        /// What is wrong with it.
        what: String,
    },
}

impl From<rcgen::Error> for PkiError {
    fn from(error: rcgen::Error) -> Self {
        Self::Make(error.to_string())
    }
}

/// SHA-256 of the DER-encoded `SubjectPublicKeyInfo` of the hub's CA.
///
/// Of the key and not of the certificate, so that the CA certificate can be issued again.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct CaFingerprint(pub [u8; 32]);

impl CaFingerprint {
    /// The fingerprint of the key inside a CA certificate.
    pub fn of_certificate(ca_der: &[u8]) -> Result<Self, PkiError> {
        let certificate = parse(ca_der)?;
        Ok(Self(Sha256::digest(certificate.public_key().raw).into()))
    }
}

impl fmt::Display for CaFingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&to_hex(&self.0))
    }
}

impl fmt::Debug for CaFingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CaFingerprint({self})")
    }
}

/// The hub's CA and the certificate it serves with.
pub struct HubIdentity {
    ca_certificate: CertificateDer<'static>,
    ca_key: KeyPair,
    hub_certificate: CertificateDer<'static>,
    hub_key: KeyPair,
}

impl fmt::Debug for HubIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HubIdentity").finish_non_exhaustive()
    }
}

impl HubIdentity {
    /// Makes a new CA and a server certificate under it.
    pub fn generate() -> Result<Self, PkiError> {
        let ca_key = new_key()?;
        let mut ca = params("Mwimule hub CA")?;
        ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        ca.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let ca_certificate = ca.self_signed(&ca_key)?.der().clone();

        let hub_key = new_key()?;
        let mut hub = params("Mwimule hub")?;
        hub.subject_alt_names = vec![SanType::DnsName(HUB_SERVER_NAME.try_into()?)];
        hub.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        hub.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let issuer = Issuer::from_ca_cert_der(&ca_certificate, &ca_key)?;
        let hub_certificate = hub.signed_by(&hub_key, &issuer)?.der().clone();
        Ok(Self {
            ca_certificate,
            ca_key,
            hub_certificate,
            hub_key,
        })
    }

    /// Writes the identity as four PEM files, readable by their owner only.
    pub fn save(&self, folder: &Path) -> Result<(), PkiError> {
        files::make_folder(folder)?;
        files::write_key(folder, "ca.key.pem", &self.ca_key)?;
        files::write_certificate(folder, "ca.cert.pem", &self.ca_certificate)?;
        files::write_key(folder, "hub.key.pem", &self.hub_key)?;
        files::write_certificate(folder, "hub.cert.pem", &self.hub_certificate)
    }

    /// Reads what [`Self::save`] wrote, and checks that the four files belong together.
    pub fn load(folder: &Path) -> Result<Self, PkiError> {
        let identity = Self {
            ca_key: files::read_key(folder, "ca.key.pem")?,
            ca_certificate: files::read_certificate(folder, "ca.cert.pem")?,
            hub_key: files::read_key(folder, "hub.key.pem")?,
            hub_certificate: files::read_certificate(folder, "hub.cert.pem")?,
        };
        files::check_pair(
            folder,
            "ca.key.pem",
            &identity.ca_key,
            &identity.ca_certificate,
        )?;
        files::check_pair(
            folder,
            "hub.key.pem",
            &identity.hub_key,
            &identity.hub_certificate,
        )?;
        verify::check_hub_chain(&identity.ca_certificate, &identity.hub_certificate).map_err(
            |error| PkiError::Damaged {
                path: folder.join("hub.cert.pem").display().to_string(),
                what: format!("it was not issued by the CA beside it: {error}"),
            },
        )?;
        Ok(identity)
    }

    /// Loads the identity, or makes and saves one when the folder holds none of its files.
    ///
    /// A folder with only some of the files is damaged, never overwritten: a new CA would
    /// lock out every enrolled node.
    pub fn load_or_generate(folder: &Path) -> Result<Self, PkiError> {
        const FILES: [&str; 4] = ["ca.key.pem", "ca.cert.pem", "hub.key.pem", "hub.cert.pem"];
        if FILES.iter().any(|name| folder.join(name).exists()) {
            return Self::load(folder);
        }
        let identity = Self::generate()?;
        identity.save(folder)?;
        Ok(identity)
    }

    /// What an enrolment code carries of this hub.
    pub fn ca_fingerprint(&self) -> Result<CaFingerprint, PkiError> {
        CaFingerprint::of_certificate(&self.ca_certificate)
    }

    /// The CA certificate, DER.
    pub fn ca_certificate(&self) -> &[u8] {
        &self.ca_certificate
    }

    /// Issues a client certificate for `node` over the key of a signed request (DER).
    ///
    /// Only the key is taken from the request; every name and use is the hub's own.
    pub fn issue_node_certificate(
        &self,
        csr_der: &[u8],
        node: NodeId,
    ) -> Result<Vec<u8>, PkiError> {
        if csr_der.len() > CSR_BYTES_MAX {
            return Err(PkiError::Request(format!(
                "{} bytes, at most {CSR_BYTES_MAX} are allowed",
                csr_der.len()
            )));
        }
        let mut request =
            CertificateSigningRequestParams::from_der(&CertificateSigningRequestDer::from(csr_der))
                .map_err(|error| PkiError::Request(error.to_string()))?;
        let mut node_params = params("Mwimule node")?;
        let uri = format!("{NODE_URI_PREFIX}{node}");
        node_params.subject_alt_names = vec![SanType::URI(uri.try_into()?)];
        node_params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        node_params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        request.params = node_params;
        let issuer = Issuer::from_ca_cert_der(&self.ca_certificate, &self.ca_key)?;
        Ok(request.signed_by(&issuer)?.der().to_vec())
    }

    pub(crate) fn hub_certificate(&self) -> CertificateDer<'static> {
        self.hub_certificate.clone()
    }

    pub(crate) fn hub_key_der(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::Pkcs8(self.hub_key.serialize_der().into())
    }
}

/// The node a certificate was issued for. Says nothing about who issued it.
pub fn node_id_of(certificate_der: &[u8]) -> Result<NodeId, PkiError> {
    let certificate = parse(certificate_der)?;
    let names = certificate
        .subject_alternative_name()
        .map_err(|error| PkiError::Certificate(error.to_string()))?
        .ok_or_else(|| PkiError::Certificate("it names no node".to_owned()))?;
    let mut nodes = names.value.general_names.iter().filter_map(|name| {
        if let GeneralName::URI(uri) = name {
            uri.strip_prefix(NODE_URI_PREFIX)
        } else {
            None
        }
    });
    match (nodes.next(), nodes.next()) {
        (Some(text), None) => text
            .parse()
            .map_err(|error| PkiError::Certificate(format!("{error}"))),
        (None, _) => Err(PkiError::Certificate("it names no node".to_owned())),
        (Some(_), Some(_)) => Err(PkiError::Certificate("it names several nodes".to_owned())),
    }
}

/// A node's own TLS key; it never leaves the node.
pub struct NodeTlsKey(KeyPair);

impl fmt::Debug for NodeTlsKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NodeTlsKey(..)")
    }
}

impl NodeTlsKey {
    /// Makes a new key.
    pub fn generate() -> Result<Self, PkiError> {
        new_key().map(Self)
    }

    /// Reads a key from PKCS #8 DER.
    pub fn from_pkcs8(der: &[u8]) -> Result<Self, PkiError> {
        KeyPair::from_pkcs8_der_and_sign_algo(&der.into(), &PKCS_ED25519)
            .map(Self)
            .map_err(|error| PkiError::Certificate(format!("the key is not usable: {error}")))
    }

    /// The key as PKCS #8 DER. Secret.
    pub fn to_pkcs8(&self) -> Vec<u8> {
        self.0.serialize_der()
    }

    /// A certificate signing request over this key, DER. It carries no name: the hub gives one.
    pub fn signing_request(&self) -> Result<Vec<u8>, PkiError> {
        let mut request = CertificateParams::default();
        request.distinguished_name = DistinguishedName::new();
        Ok(request.serialize_request(&self.0)?.der().to_vec())
    }
}

/// What a node shows the hub, and what it holds the hub to.
pub struct NodeCredentials {
    key: NodeTlsKey,
    certificate: CertificateDer<'static>,
    ca_certificate: CertificateDer<'static>,
    node: NodeId,
}

impl fmt::Debug for NodeCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeCredentials")
            .field("node", &self.node)
            .finish_non_exhaustive()
    }
}

impl NodeCredentials {
    /// Puts together a node's key, its certificate and the hub's CA certificate (both DER).
    pub fn new(
        key: NodeTlsKey,
        certificate_der: &[u8],
        ca_certificate_der: &[u8],
    ) -> Result<Self, PkiError> {
        let certificate = CertificateDer::from(certificate_der.to_vec());
        if !files::is_pair(&key.0, &certificate) {
            return Err(PkiError::Certificate(
                "it was issued for another device's key".to_owned(),
            ));
        }
        parse(ca_certificate_der)?;
        Ok(Self {
            node: node_id_of(&certificate)?,
            key,
            certificate,
            ca_certificate: CertificateDer::from(ca_certificate_der.to_vec()),
        })
    }

    /// Writes `node.key.pem`, `node.cert.pem` and `ca.cert.pem`, readable by their owner only.
    pub fn save(&self, folder: &Path) -> Result<(), PkiError> {
        files::make_folder(folder)?;
        files::write_key(folder, "node.key.pem", &self.key.0)?;
        files::write_certificate(folder, "ca.cert.pem", &self.ca_certificate)?;
        files::write_certificate(folder, "node.cert.pem", &self.certificate)
    }

    /// Reads what [`Self::save`] wrote.
    pub fn load(folder: &Path) -> Result<Self, PkiError> {
        let key = NodeTlsKey(files::read_key(folder, "node.key.pem")?);
        let certificate = files::read_certificate(folder, "node.cert.pem")?;
        let ca_certificate = files::read_certificate(folder, "ca.cert.pem")?;
        files::check_pair(folder, "node.key.pem", &key.0, &certificate)?;
        Self::new(key, &certificate, &ca_certificate)
    }

    /// The node these credentials are for.
    pub fn node(&self) -> NodeId {
        self.node
    }

    /// The node's certificate, DER.
    pub fn certificate(&self) -> &[u8] {
        &self.certificate
    }

    /// The pinned CA certificate, DER.
    pub fn ca_certificate(&self) -> &[u8] {
        &self.ca_certificate
    }

    pub(crate) fn key_der(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::Pkcs8(self.key.to_pkcs8().into())
    }
}

fn new_key() -> Result<KeyPair, PkiError> {
    Ok(KeyPair::generate_for(&PKCS_ED25519)?)
}

fn params(common_name: &str) -> Result<CertificateParams, PkiError> {
    let mut serial = [0; 16];
    getrandom::fill(&mut serial).map_err(|error| PkiError::Make(error.to_string()))?;
    // A serial number is a positive integer.
    serial[0] &= 0x7f;
    let mut params = CertificateParams::default();
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    params.not_after = rcgen::date_time_ymd(4096, 1, 1);
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    params.distinguished_name = DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, common_name);
    Ok(params)
}

fn parse(der: &[u8]) -> Result<x509_parser::certificate::X509Certificate<'_>, PkiError> {
    let (rest, certificate) = x509_parser::parse_x509_certificate(der)
        .map_err(|error| PkiError::Certificate(error.to_string()))?;
    if rest.is_empty() {
        Ok(certificate)
    } else {
        Err(PkiError::Certificate("bytes left over".to_owned()))
    }
}

#[cfg(test)]
mod tests;
