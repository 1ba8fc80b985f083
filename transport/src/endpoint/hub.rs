//! The hub's side: accept, let in or refuse.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use domain::codec::{from_cbor, to_cbor};
use domain::ids::NodeId;
use quinn::crypto::rustls::HandshakeData;
use quinn::{EndpointConfig, Incoming, ServerConfig};
use quinn_proto::HashedConnectionIdGenerator;
use rustls::pki_types::CertificateDer;
use sha2::{Digest, Sha256};
use tokio::sync::{Mutex, Semaphore, mpsc};
use tokio::time::timeout;

use super::{WELCOME, open_socket, runtime};
use crate::channel::{Connection, refuse};
use crate::enrolment::{
    EnrolmentAnswer, EnrolmentDesk, EnrolmentRefusal, EnrolmentRequest, NAME_HINT_BYTES_MAX,
    REQUEST_BYTES_MAX,
};
use crate::error::{CloseCode, TransportError, cut};
use crate::pki::{HubIdentity, node_id_of};
use crate::settings::TransportSettings;
use crate::tls::{self, ALPN_ENROL, ALPN_SYNC};

/// Arrivals that wait for [`HubEndpoint::accept`].
const WAITING_ARRIVALS_MAX: usize = 64;

/// A peer that has finished its handshake, by its ALPN.
#[derive(Debug)]
pub enum Arrival {
    /// `mwimule-sync/1`: a node with a certificate of ours.
    Sync(SyncArrival),
    /// `mwimule-enrol/1`: a device that says it has a code.
    Enrolment(EnrolmentArrival),
}

/// The hub's UDP socket. Every connection that came through it ends with it.
#[derive(Debug)]
pub struct HubEndpoint {
    quic: quinn::Endpoint,
    address: SocketAddr,
    arrivals: Mutex<mpsc::Receiver<Arrival>>,
}

impl Drop for HubEndpoint {
    fn drop(&mut self) {
        self.quic.close(CloseCode::GoingAway.varint(), b"");
    }
}

impl HubEndpoint {
    /// Listens on `address`; has to be called inside a tokio runtime.
    pub fn bind(
        address: SocketAddr,
        identity: &HubIdentity,
        settings: &TransportSettings,
    ) -> Result<Self, TransportError> {
        let unusable = |source: io::Error| TransportError::LocalNetwork {
            what: format!("listening on UDP {address}"),
            source,
        };
        let mut server = ServerConfig::with_crypto(Arc::new(tls::hub(identity)?));
        server.transport_config(Arc::new(settings.quinn(true)));
        let quic = open_socket(address, settings)
            .and_then(|socket| {
                let config = endpoint_config(identity);
                quinn::Endpoint::new(config, Some(server), socket, runtime()?)
            })
            .map_err(unusable)?;
        let address = quic.local_addr().map_err(unusable)?;
        let (ready, arrivals) = mpsc::channel(WAITING_ARRIVALS_MAX);
        tokio::spawn(listen(quic.clone(), settings.clone(), ready));
        Ok(Self {
            quic,
            address,
            arrivals: Mutex::new(arrivals),
        })
    }

    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// The next peer that finished its handshake; `None` after [`Self::shut_down`]. Cancel-safe.
    pub async fn accept(&self) -> Option<Arrival> {
        self.arrivals.lock().await.recv().await
    }

    /// Closes every connection with [`CloseCode::GoingAway`]; waits up to `wait` for the peers
    /// to have heard it.
    pub async fn shut_down(&self, wait: Duration) {
        self.quic.close(CloseCode::GoingAway.varint(), b"");
        let _ = timeout(wait, self.quic.wait_idle()).await;
    }
}

/// A hub that was restarted has to be able to tell its old peers that it has forgotten them:
/// the keys by which both know its connections come from its identity.
fn endpoint_config(identity: &HubIdentity) -> EndpointConfig {
    let derive = |what: &str| {
        let mut hash = Sha256::new();
        hash.update(what);
        hash.update(identity.hub_key_der().secret_der());
        hash.finalize()
    };
    let reset_key = derive("mwimule quic stateless reset");
    let reset_key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &reset_key);
    let id_key = derive("mwimule quic connection ids");
    let id_key = u64::from_be_bytes(core::array::from_fn(|i| id_key[i]));
    let mut config = EndpointConfig::new(Arc::new(reset_key));
    config.cid_generator(move || Box::new(HashedConnectionIdGenerator::from_key(id_key)));
    config
}

async fn listen(quic: quinn::Endpoint, settings: TransportSettings, ready: mpsc::Sender<Arrival>) {
    let limit = usize::from(settings.handshakes_max.max(1));
    let handshakes = Arc::new(Semaphore::new(limit));
    while let Some(incoming) = quic.accept().await {
        // When it gets busy, a peer first proves that it is where it says it is.
        let busy = handshakes.available_permits() <= limit / 2;
        if busy && !incoming.remote_address_validated() && incoming.may_retry() {
            let _ = incoming.retry();
            continue;
        }
        let Ok(permit) = Arc::clone(&handshakes).try_acquire_owned() else {
            incoming.refuse();
            continue;
        };
        let ready = ready.clone();
        let wait = settings.handshake_timeout();
        tokio::spawn(async move {
            let from = incoming.remote_address();
            match timeout(wait, shake_hands(incoming, wait)).await {
                Ok(Ok(arrival)) => {
                    let _ = ready.send(arrival).await;
                }
                Ok(Err(error)) => tracing::info!(%from, %error, "a peer was not let in"),
                Err(_) => tracing::info!(%from, "a peer did not finish its handshake"),
            }
            drop(permit);
        });
    }
}

async fn shake_hands(incoming: Incoming, wait: Duration) -> Result<Arrival, TransportError> {
    let from = incoming.remote_address();
    let peer = format!("a peer at {from}");
    let lost = |error: quinn::ConnectionError| TransportError::of_connection(&error, &peer);
    let quic = incoming.accept().map_err(lost)?.await.map_err(lost)?;
    let alpn = quic
        .handshake_data()
        .and_then(|data| data.downcast::<HandshakeData>().ok())
        .and_then(|data| data.protocol);
    if alpn.as_deref() == Some(ALPN_ENROL) {
        return Ok(Arrival::Enrolment(EnrolmentArrival { quic, wait }));
    }
    if alpn.as_deref() != Some(ALPN_SYNC) {
        return Err(TransportError::NotAHub { hub: peer });
    }
    let certificates = quic
        .peer_identity()
        .and_then(|chain| chain.downcast::<Vec<CertificateDer<'static>>>().ok());
    let Some(certificate) = certificates.as_ref().and_then(|chain| chain.first()) else {
        quic.close(
            CloseCode::CertificateMissing.varint(),
            b"mwimule-sync needs a certificate: enrol first",
        );
        return Err(TransportError::CertificateMissing {
            hub: "this hub".to_owned(),
        });
    };
    let node = node_id_of(certificate)?;
    Ok(Arrival::Sync(SyncArrival { quic, node, wait }))
}

/// A node that the hub has yet to let in.
#[derive(Debug)]
pub struct SyncArrival {
    quic: quinn::Connection,
    node: NodeId,
    wait: Duration,
}

impl SyncArrival {
    /// Who its certificate, issued by our CA, says it is.
    pub fn node(&self) -> NodeId {
        self.node
    }

    /// Its address as seen here.
    pub fn remote_address(&self) -> SocketAddr {
        self.quic.remote_address()
    }

    /// Lets the node in: takes its channels and tells it so.
    pub async fn admit(self) -> Result<Connection, TransportError> {
        let peer = || format!("node {}", self.node);
        let admitted = timeout(self.wait, async {
            let connection = Connection::accept(self.quic.clone(), self.node).await?;
            let lost = |error: &_| TransportError::of_connection(error, &peer());
            let mut welcome = self.quic.open_uni().await.map_err(|error| lost(&error))?;
            let said = welcome.write_all(&WELCOME).await.is_ok() && welcome.finish().is_ok();
            said.then_some(connection)
                .ok_or_else(|| TransportError::ConnectionLost { peer: peer() })
        })
        .await
        .unwrap_or_else(|_| {
            Err(TransportError::ProtocolBroken {
                peer: peer(),
                what: "it did not open its channels in time".to_owned(),
            })
        });
        if let Err(error) = &admitted {
            refuse(&self.quic, error);
        }
        admitted
    }

    /// Sends the node away, for instance with [`CloseCode::Revoked`].
    pub fn refuse(self, code: CloseCode, reason: &str) {
        self.quic.close(code.varint(), cut(reason));
    }
}

/// A device that the hub has yet to hear.
#[derive(Debug)]
pub struct EnrolmentArrival {
    quic: quinn::Connection,
    wait: Duration,
}

impl EnrolmentArrival {
    /// Its address as seen here.
    pub fn remote_address(&self) -> SocketAddr {
        self.quic.remote_address()
    }

    /// Reads the request, lets the desk decide, delivers the answer.
    ///
    /// An error says that the device may not have the answer, whatever the desk decided.
    pub async fn serve<D: EnrolmentDesk>(self, desk: &D) -> Result<(), TransportError> {
        let from = self.remote_address();
        let peer = format!("a device at {from}");
        let lost = || match self.quic.close_reason() {
            Some(error) => TransportError::of_connection(&error, &peer),
            None => TransportError::ConnectionLost { peer: peer.clone() },
        };
        let (mut send, mut receive) = timeout(self.wait, self.quic.accept_bi())
            .await
            .map_err(|_| lost())?
            .map_err(|_| lost())?;
        let read = timeout(self.wait, receive.read_to_end(REQUEST_BYTES_MAX))
            .await
            .map_err(|_| lost())?;
        let request = match read {
            Ok(bytes) => read_request(&bytes),
            Err(quinn::ReadToEndError::TooLong) => Err(EnrolmentRefusal::BadRequest {
                what: format!("the request is longer than {REQUEST_BYTES_MAX} bytes"),
            }),
            Err(quinn::ReadToEndError::Read(_)) => return Err(lost()),
        };
        let decided = match request {
            Ok(request) => desk.enrol(request, from).await,
            Err(refusal) => Err(refusal),
        };
        let answer = match decided {
            Ok(grant) => EnrolmentAnswer::Granted(grant),
            Err(refusal) => EnrolmentAnswer::Refused(refusal),
        };
        let deliver = async {
            let sent = send.write_all(&to_cbor(&answer)).await.is_ok() && send.finish().is_ok();
            // The device closes once it has read the answer; either shows that it came.
            sent && match send.stopped().await {
                Ok(stop) => stop.is_none(),
                Err(_) => matches!(
                    self.quic.close_reason(),
                    Some(quinn::ConnectionError::ApplicationClosed(close))
                        if close.error_code == CloseCode::Done.varint()
                ),
            }
        };
        let delivered = timeout(self.wait, deliver).await.unwrap_or(false);
        let outcome = if delivered { Ok(()) } else { Err(lost()) };
        self.quic.close(CloseCode::Done.varint(), b"");
        outcome
    }
}

fn read_request(bytes: &[u8]) -> Result<EnrolmentRequest, EnrolmentRefusal> {
    let bad = |what: String| EnrolmentRefusal::BadRequest { what };
    let request: EnrolmentRequest = from_cbor(bytes).map_err(|error| bad(error.to_string()))?;
    if request.name_hint.len() > NAME_HINT_BYTES_MAX {
        return Err(bad(format!(
            "its name is longer than {NAME_HINT_BYTES_MAX} bytes"
        )));
    }
    Ok(request)
}
