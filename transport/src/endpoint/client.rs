//! The edge's side: find the hub, prove who is who, be let in.

use std::future::Future;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::codec::{from_cbor, to_cbor};
use quinn::EndpointConfig;
use quinn::crypto::rustls::QuicClientConfig;
use tokio::time::timeout;

use super::{WELCOME, open_socket, runtime};
use crate::channel::Connection;
use crate::enrolment::{
    ANSWER_BYTES_MAX, EnrolmentAnswer, EnrolmentCode, EnrolmentGrant, EnrolmentRequest,
    NAME_HINT_BYTES_MAX,
};
use crate::error::{CloseCode, TransportError};
use crate::pki::{CaFingerprint, HUB_SERVER_NAME, NodeCredentials, NodeTlsKey, node_id_of};
use crate::settings::TransportSettings;
use crate::tls;

/// Addresses of one name that are tried; the first usually answers.
const ADDRESSES_MAX: usize = 4;

/// Connects a node to its hub at `host:port` and waits to be let in.
///
/// `Ok` means that both sides have proven who they are and that the hub has admitted the node.
pub async fn connect(
    hub: &str,
    credentials: &NodeCredentials,
    settings: &TransportSettings,
) -> Result<Connection, TransportError> {
    let crypto = tls::node(credentials)?;
    connect_with(hub, crypto, settings).await
}

pub(crate) async fn connect_with(
    hub: &str,
    crypto: QuicClientConfig,
    settings: &TransportSettings,
) -> Result<Connection, TransportError> {
    let wait = settings.connect_timeout();
    within(hub, wait, async {
        let (endpoint, quic) = dial(hub, crypto, settings).await?;
        let connection = Connection::open(quic.clone(), endpoint, hub).await?;
        // The handshake ends here before the hub has looked at our certificate.
        let lost = |error: &_| TransportError::of_connection(error, hub);
        let mut welcome = quic.accept_uni().await.map_err(|error| lost(&error))?;
        let said = welcome.read_to_end(WELCOME.len()).await;
        if said.is_ok_and(|said| said == WELCOME) {
            return Ok(connection);
        }
        Err(match quic.close_reason() {
            Some(error) => lost(&error),
            None => TransportError::NotAHub {
                hub: hub.to_owned(),
            },
        })
    })
    .await
}

/// The public half of what a device keeps to itself, and how it wants to be called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceKeys {
    /// The Ed25519 key that signs the device's log.
    pub event_public_key: [u8; 32],
    /// The Ed25519 key that signs the device's tickets.
    pub ticket_public_key: [u8; 32],
    /// A suggestion, cut to 64 bytes.
    pub name_hint: String,
}

/// Enrols this device with a code. The secret is sent only to the hub whose fingerprint the
/// code carries.
///
/// Keep all keys until this succeeds: if the answer is lost, the hub can give the same one to
/// the same keys again. [`NodeCredentials::new`] makes credentials of `tls_key` and the grant.
pub async fn enrol(
    code: &EnrolmentCode,
    tls_key: &NodeTlsKey,
    keys: &DeviceKeys,
    settings: &TransportSettings,
) -> Result<EnrolmentGrant, TransportError> {
    let hub = code.hub_addr.as_str();
    let expected = code.ca_fingerprint;
    let request = EnrolmentRequest {
        secret: code.secret,
        csr: tls_key.signing_request()?,
        event_public_key: keys.event_public_key,
        ticket_public_key: keys.ticket_public_key,
        name_hint: keys.name_hint[..keys.name_hint.floor_char_boundary(NAME_HINT_BYTES_MAX)]
            .to_owned(),
    };
    let crypto = tls::device(expected)?;
    let (_endpoint, quic) = within(hub, settings.connect_timeout(), dial(hub, crypto, settings))
        .await
        .map_err(|error| {
            if let TransportError::WrongHub { hub } = error {
                TransportError::WrongFingerprint { hub, expected }
            } else {
                error
            }
        })?;
    let asked = within(hub, settings.enrolment_timeout(), ask(hub, &quic, &request)).await;
    quic.close(CloseCode::Done.varint(), b"");
    match asked? {
        EnrolmentAnswer::Granted(grant) => check_grant(hub, expected, grant),
        EnrolmentAnswer::Refused(refusal) => Err(TransportError::EnrolmentRefused {
            hub: hub.to_owned(),
            refusal,
        }),
    }
}

async fn ask(
    hub: &str,
    quic: &quinn::Connection,
    request: &EnrolmentRequest,
) -> Result<EnrolmentAnswer, TransportError> {
    let lost = || match quic.close_reason() {
        Some(error) => TransportError::of_connection(&error, hub),
        None => TransportError::ConnectionLost {
            peer: hub.to_owned(),
        },
    };
    let (mut send, mut receive) = quic.open_bi().await.map_err(|_| lost())?;
    // A hub that has read enough answers before we have sent all.
    let _ = send.write_all(&to_cbor(request)).await;
    let _ = send.finish();
    match receive.read_to_end(ANSWER_BYTES_MAX).await {
        Ok(bytes) => from_cbor(&bytes).map_err(|error| TransportError::ProtocolBroken {
            peer: hub.to_owned(),
            what: format!("its answer to the enrolment cannot be read: {error}"),
        }),
        Err(quinn::ReadToEndError::TooLong) => Err(TransportError::ProtocolBroken {
            peer: hub.to_owned(),
            what: format!("its answer to the enrolment is longer than {ANSWER_BYTES_MAX} bytes"),
        }),
        Err(quinn::ReadToEndError::Read(_)) => Err(lost()),
    }
}

fn check_grant(
    hub: &str,
    expected: CaFingerprint,
    grant: EnrolmentGrant,
) -> Result<EnrolmentGrant, TransportError> {
    let broken = |what: &str| TransportError::ProtocolBroken {
        peer: hub.to_owned(),
        what: what.to_owned(),
    };
    if CaFingerprint::of_certificate(&grant.ca_certificate)? != expected {
        return Err(broken("its answer carries another hub's CA"));
    }
    if node_id_of(&grant.certificate)? != grant.node_id {
        return Err(broken("its answer carries another node's certificate"));
    }
    Ok(grant)
}

/// Tries the addresses of the hub in turn, each with a fair share of the time.
pub(crate) async fn dial(
    hub: &str,
    crypto: QuicClientConfig,
    settings: &TransportSettings,
) -> Result<(quinn::Endpoint, quinn::Connection), TransportError> {
    let not_found = |reason: String| TransportError::HubNotFound {
        hub: hub.to_owned(),
        reason,
    };
    let begin = Instant::now();
    let addresses: Vec<SocketAddr> = tokio::net::lookup_host(hub)
        .await
        .map_err(|error| not_found(error.to_string()))?
        .take(ADDRESSES_MAX)
        .collect();
    let mut config = quinn::ClientConfig::new(Arc::new(crypto));
    config.transport_config(Arc::new(settings.quinn(false)));
    let mut last = not_found("the name has no address".to_owned());
    for (tried, address) in addresses.iter().enumerate() {
        let left = settings.connect_timeout().saturating_sub(begin.elapsed());
        let share = left / (addresses.len() - tried) as u32;
        match timeout(share, dial_one(hub, *address, config.clone(), settings)).await {
            Ok(Ok(dialled)) => return Ok(dialled),
            Ok(Err(error)) => last = error,
            Err(_) => last = unreachable(hub, begin.elapsed()),
        }
    }
    Err(last)
}

async fn dial_one(
    hub: &str,
    address: SocketAddr,
    config: quinn::ClientConfig,
    settings: &TransportSettings,
) -> Result<(quinn::Endpoint, quinn::Connection), TransportError> {
    let any: SocketAddr = if address.is_ipv4() {
        (Ipv4Addr::UNSPECIFIED, 0).into()
    } else {
        (Ipv6Addr::UNSPECIFIED, 0).into()
    };
    let endpoint = open_socket(any, settings)
        .and_then(|socket| {
            quinn::Endpoint::new(EndpointConfig::default(), None, socket, runtime()?)
        })
        .map_err(|source| TransportError::LocalNetwork {
            what: "opening a UDP socket".to_owned(),
            source,
        })?;
    let connecting = endpoint
        .connect_with(config, address, HUB_SERVER_NAME)
        .map_err(|error| TransportError::HubNotFound {
            hub: hub.to_owned(),
            reason: error.to_string(),
        })?;
    match connecting.await {
        Ok(quic) => Ok((endpoint, quic)),
        Err(error) => Err(TransportError::of_connection(&error, hub)),
    }
}

async fn within<T>(
    hub: &str,
    wait: Duration,
    work: impl Future<Output = Result<T, TransportError>>,
) -> Result<T, TransportError> {
    timeout(wait, work)
        .await
        .unwrap_or_else(|_| Err(unreachable(hub, wait)))
}

fn unreachable(hub: &str, waited: Duration) -> TransportError {
    TransportError::HubUnreachable {
        hub: hub.to_owned(),
        waited_ms: u64::try_from(waited.as_millis()).unwrap_or(u64::MAX),
    }
}
