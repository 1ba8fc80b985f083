use std::net::SocketAddr;
use std::sync::Mutex;

use domain::ids::{CompanyId, Kid, NodeId};

use super::{Hub, node_id, settings, soon};
use crate::endpoint::{Arrival, DeviceKeys, connect, enrol};
use crate::enrolment::{
    EnrolmentCode, EnrolmentDesk, EnrolmentGrant, EnrolmentRefusal, EnrolmentRequest, HubKey,
    HubKeyUse, REQUEST_BYTES_MAX,
};
use crate::error::TransportError;
use crate::pki::{CaFingerprint, HubIdentity, NodeCredentials, NodeTlsKey};

/// Knows one code, once.
struct Desk<'a> {
    identity: &'a HubIdentity,
    secret: Mutex<Option<[u8; 16]>>,
    asked: Mutex<Vec<EnrolmentRequest>>,
}

impl<'a> Desk<'a> {
    fn new(hub: &'a Hub, secret: [u8; 16]) -> Self {
        Self {
            identity: &hub.identity,
            secret: Mutex::new(Some(secret)),
            asked: Mutex::default(),
        }
    }
}

impl EnrolmentDesk for Desk<'_> {
    async fn enrol(
        &self,
        request: EnrolmentRequest,
        from: SocketAddr,
    ) -> Result<EnrolmentGrant, EnrolmentRefusal> {
        assert!(from.ip().is_loopback());
        self.asked.lock().unwrap().push(request.clone());
        let taken = self
            .secret
            .lock()
            .unwrap()
            .take_if(|s| *s == request.secret);
        taken.ok_or(EnrolmentRefusal::UnknownCode)?;
        let node_id: NodeId = node_id(8);
        let certificate = self
            .identity
            .issue_node_certificate(&request.csr, node_id)
            .map_err(|error| EnrolmentRefusal::BadRequest {
                what: error.to_string(),
            })?;
        Ok(EnrolmentGrant {
            node_id,
            company_id: CompanyId::from_bytes([9; 16]),
            certificate,
            ca_certificate: self.identity.ca_certificate().to_vec(),
            hub_keys: vec![HubKey {
                key_use: HubKeyUse::All,
                kid: Kid([1; 4]),
                public_key: [2; 32],
            }],
            config: b"opaque".to_vec(),
        })
    }
}

fn keys() -> DeviceKeys {
    DeviceKeys {
        event_public_key: [3; 32],
        ticket_public_key: [4; 32],
        name_hint: "Kabwe counter 2".to_owned(),
    }
}

fn code_of(hub: &Hub, secret: [u8; 16]) -> EnrolmentCode {
    let fingerprint = hub.identity.ca_fingerprint().unwrap();
    let code = EnrolmentCode::new(&hub.address(), secret, fingerprint).unwrap();
    // As it would come from a screen or a piece of paper.
    code.to_string().parse().unwrap()
}

async fn serve(hub: &Hub, desk: &Desk<'_>) -> Result<(), TransportError> {
    match hub.endpoint.accept().await.unwrap() {
        Arrival::Enrolment(arrival) => arrival.serve(desk).await,
        Arrival::Sync(arrival) => panic!("expected a device, got {arrival:?}"),
    }
}

#[tokio::test]
async fn a_code_makes_a_device_a_node_that_can_sync() {
    let hub = Hub::start();
    let desk = Desk::new(&hub, [5; 16]);
    let tls_key = NodeTlsKey::generate().unwrap();
    let (code, keys, settings) = (code_of(&hub, [5; 16]), keys(), settings());
    let (grant, served) =
        soon(async { tokio::join!(enrol(&code, &tls_key, &keys, &settings), serve(&hub, &desk)) })
            .await;
    served.unwrap();
    let grant = grant.unwrap();
    assert_eq!(grant.node_id, node_id(8));
    assert_eq!(grant.config, b"opaque");
    {
        let asked = desk.asked.lock().unwrap();
        assert_eq!(asked[0].event_public_key, [3; 32]);
        assert_eq!(asked[0].ticket_public_key, [4; 32]);
        assert_eq!(asked[0].name_hint, "Kabwe counter 2");
    }

    let credentials =
        NodeCredentials::new(tls_key, &grant.certificate, &grant.ca_certificate).unwrap();
    let address = hub.address();
    let (edge, far) =
        soon(async { tokio::join!(connect(&address, &credentials, &settings), hub.admit()) }).await;
    edge.unwrap();
    assert_eq!(far.node(), Some(node_id(8)));
}

#[tokio::test]
async fn a_wrong_secret_is_refused_in_words_that_help_and_the_code_stays_good() {
    let hub = Hub::start();
    let desk = Desk::new(&hub, [5; 16]);
    let tls_key = NodeTlsKey::generate().unwrap();
    let (keys, settings) = (keys(), settings());
    let wrong = code_of(&hub, [6; 16]);
    let (refused, served) = soon(async {
        tokio::join!(
            enrol(&wrong, &tls_key, &keys, &settings),
            serve(&hub, &desk)
        )
    })
    .await;
    served.unwrap();
    let error = refused.unwrap_err();
    assert!(
        matches!(
            error,
            TransportError::EnrolmentRefused {
                refusal: EnrolmentRefusal::UnknownCode,
                ..
            }
        ),
        "{error}"
    );
    assert!(
        error.to_string().contains("ask the office for a new one"),
        "{error}"
    );

    let right = code_of(&hub, [5; 16]);
    let (granted, _) = soon(async {
        tokio::join!(
            enrol(&right, &tls_key, &keys, &settings),
            serve(&hub, &desk)
        )
    })
    .await;
    granted.unwrap();
}

#[tokio::test]
async fn a_hub_with_another_fingerprint_never_sees_the_secret() {
    let hub = Hub::start();
    let code = EnrolmentCode::new(&hub.address(), [5; 16], CaFingerprint([0xee; 32])).unwrap();
    let tls_key = NodeTlsKey::generate().unwrap();
    let error = soon(enrol(&code, &tls_key, &keys(), &settings()))
        .await
        .unwrap_err();
    assert!(
        matches!(
            &error,
            TransportError::WrongFingerprint { expected, .. } if *expected == code.ca_fingerprint
        ),
        "{error}"
    );
    assert!(
        error.to_string().contains("the code was not sent"),
        "{error}"
    );
    // It never even finished its handshake: the next to arrive is somebody else.
    hub.pair().await;
}

#[tokio::test]
async fn a_request_that_is_too_long_or_no_request_is_answered_and_not_decided() {
    let hub = Hub::start();
    let desk = Desk::new(&hub, [5; 16]);
    for bytes in [vec![0; REQUEST_BYTES_MAX + 1], b"\xff\xff".to_vec()] {
        let crypto = crate::tls::device(hub.identity.ca_fingerprint().unwrap()).unwrap();
        let device = async {
            let (_endpoint, quic) =
                crate::endpoint::client::dial(&hub.address(), crypto, &settings())
                    .await
                    .unwrap();
            let (mut send, mut receive) = quic.open_bi().await.unwrap();
            let _ = send.write_all(&bytes).await;
            let _ = send.finish();
            let answer = receive.read_to_end(1000).await.unwrap();
            quic.close(0_u32.into(), b"");
            domain::codec::from_cbor::<crate::enrolment::EnrolmentAnswer>(&answer).unwrap()
        };
        let (answer, served) = soon(async { tokio::join!(device, serve(&hub, &desk)) }).await;
        served.unwrap();
        assert!(
            matches!(
                &answer,
                crate::enrolment::EnrolmentAnswer::Refused(EnrolmentRefusal::BadRequest { .. })
            ),
            "{answer:?}"
        );
    }
    assert!(desk.asked.lock().unwrap().is_empty());
}

#[tokio::test]
async fn enrolment_with_a_hub_that_is_down_names_the_hub() {
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap().to_string();
    let code = EnrolmentCode::new(&address, [5; 16], CaFingerprint([0; 32])).unwrap();
    let impatient = crate::TransportSettings {
        connect_timeout_ms: 300,
        ..settings()
    };
    let tls_key = NodeTlsKey::generate().unwrap();
    let error = soon(enrol(&code, &tls_key, &keys(), &impatient))
        .await
        .unwrap_err();
    assert!(
        matches!(&error, TransportError::HubUnreachable { hub, .. } if *hub == address),
        "{error}"
    );
}
