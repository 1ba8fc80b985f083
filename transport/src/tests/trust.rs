use std::sync::Arc;
use std::time::Duration;

use super::{Hub, credentials, node_id, settings, soon};
use crate::channel::Channel;
use crate::endpoint::client::connect_with;
use crate::endpoint::{Arrival, HubEndpoint, connect};
use crate::error::{CloseCode, TransportError};
use crate::pki::{HubIdentity, NodeCredentials, NodeTlsKey, PinnedHubVerifier};
use crate::settings::TransportSettings;
use crate::tls;

#[tokio::test]
async fn a_certificate_of_another_hub_is_refused_and_says_so() {
    let hub = Hub::start();
    let foreign = HubIdentity::generate().unwrap();
    let key = NodeTlsKey::generate().unwrap();
    let certificate = foreign
        .issue_node_certificate(&key.signing_request().unwrap(), node_id(1))
        .unwrap();
    // It knows the right hub, but its certificate is from elsewhere.
    let mixed = NodeCredentials::new(key, &certificate, hub.identity.ca_certificate()).unwrap();
    let error = soon(connect(&hub.address(), &mixed, &settings()))
        .await
        .unwrap_err();
    assert!(
        matches!(error, TransportError::CertificateRefused { .. }),
        "{error}"
    );
    assert!(error.to_string().contains("enrol again"), "{error}");
    assert!(!error.is_worth_retrying());
    // The hub still serves those it knows.
    hub.pair().await;
}

#[tokio::test]
async fn the_hubs_own_certificate_is_not_a_nodes() {
    let hub = Hub::start();
    let ca = hub.identity.ca_certificate().to_vec().into();
    let crypto = tls::client(
        tls::client_builder(Arc::new(PinnedHubVerifier::new(&ca).unwrap()))
            .unwrap()
            .with_client_auth_cert(
                vec![hub.identity.hub_certificate()],
                hub.identity.hub_key_der(),
            )
            .unwrap(),
        tls::ALPN_SYNC,
    )
    .unwrap();
    let error = soon(connect_with(&hub.address(), crypto, &settings()))
        .await
        .unwrap_err();
    assert!(
        matches!(error, TransportError::CertificateRefused { .. }),
        "{error}"
    );
}

#[tokio::test]
async fn without_a_certificate_there_is_no_sync() {
    let hub = Hub::start();
    let ca = hub.identity.ca_certificate().to_vec().into();
    let crypto = tls::client(
        tls::client_builder(Arc::new(PinnedHubVerifier::new(&ca).unwrap()))
            .unwrap()
            .with_no_client_auth(),
        tls::ALPN_SYNC,
    )
    .unwrap();
    let error = soon(connect_with(&hub.address(), crypto, &settings()))
        .await
        .unwrap_err();
    assert!(
        matches!(error, TransportError::CertificateMissing { .. }),
        "{error}"
    );
}

#[tokio::test]
async fn a_peer_of_another_protocol_is_no_hub() {
    let hub = Hub::start();
    let ca = hub.identity.ca_certificate().to_vec().into();
    let crypto = tls::client(
        tls::client_builder(Arc::new(PinnedHubVerifier::new(&ca).unwrap()))
            .unwrap()
            .with_no_client_auth(),
        b"mwimule-sync/99",
    )
    .unwrap();
    let error = soon(connect_with(&hub.address(), crypto, &settings()))
        .await
        .unwrap_err();
    assert!(matches!(error, TransportError::NotAHub { .. }), "{error}");
}

#[tokio::test]
async fn a_node_does_not_talk_to_a_hub_of_another_ca() {
    let hub = Hub::start();
    let theirs = HubIdentity::generate().unwrap();
    let error = soon(connect(
        &hub.address(),
        &credentials(&theirs, node_id(1)),
        &settings(),
    ))
    .await
    .unwrap_err();
    assert!(matches!(error, TransportError::WrongHub { .. }), "{error}");
}

#[tokio::test]
async fn a_hub_that_is_down_is_named_with_the_time_waited() {
    // Bound and never read: the port is taken, and nobody answers.
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap().to_string();
    let identity = HubIdentity::generate().unwrap();
    let impatient = TransportSettings {
        connect_timeout_ms: 300,
        ..settings()
    };
    let error = soon(connect(
        &address,
        &credentials(&identity, node_id(1)),
        &impatient,
    ))
    .await
    .unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "the hub at {address} did not answer within 0.3 s: check the connection; sales go on"
        )
    );
    assert!(error.is_worth_retrying());
}

#[tokio::test]
async fn an_address_that_is_none_is_named() {
    let identity = HubIdentity::generate().unwrap();
    let error = soon(connect(
        "no such host:1",
        &credentials(&identity, node_id(1)),
        &settings(),
    ))
    .await
    .unwrap_err();
    assert!(
        matches!(error, TransportError::HubNotFound { .. }),
        "{error}"
    );
}

#[tokio::test]
async fn a_revoked_node_is_told_so_at_the_door_and_in_the_middle() {
    let hub = Hub::start();
    let credentials = credentials(&hub.identity, node_id(1));
    let address = hub.address();
    let settings = settings();
    let door = async {
        match hub.endpoint.accept().await.unwrap() {
            Arrival::Sync(arrival) => {
                assert_eq!(arrival.node(), node_id(1));
                arrival.refuse(CloseCode::Revoked, "reported stolen");
            }
            Arrival::Enrolment(_) => panic!("expected a node"),
        }
    };
    let (error, ()) =
        soon(async { tokio::join!(connect(&address, &credentials, &settings), door) }).await;
    let error = error.unwrap_err();
    assert!(
        matches!(&error, TransportError::Revoked { reason, .. } if reason == "reported stolen"),
        "{error}"
    );

    let (edge, far) = hub.pair().await;
    far.close(CloseCode::Revoked, "reported stolen");
    let error = soon(edge.recv()).await.unwrap_err();
    assert!(matches!(error, TransportError::Revoked { .. }), "{error}");
    let error = edge.send(Channel::Events, vec![1]).await.unwrap_err();
    assert!(matches!(error, TransportError::Revoked { .. }), "{error}");
}

#[tokio::test]
async fn a_hub_that_shuts_down_says_so() {
    let hub = Hub::start();
    let (edge, _far) = hub.pair().await;
    let (error, ()) =
        soon(async { tokio::join!(edge.recv(), hub.endpoint.shut_down(Duration::from_secs(5))) })
            .await;
    let error = error.unwrap_err();
    assert!(
        matches!(
            error,
            TransportError::ClosedByPeer {
                code: CloseCode::GoingAway,
                ..
            }
        ),
        "{error}"
    );
    assert!(error.is_worth_retrying());
    assert!(soon(hub.endpoint.accept()).await.is_none());
}

#[tokio::test]
async fn a_hub_that_was_killed_and_is_back_tells_its_old_peers_at_once() {
    // A runtime of its own, which ends without a word like a killed process.
    let doomed = tokio::runtime::Runtime::new().unwrap();
    let hub = Arc::new(doomed.spawn(async { Hub::start() }).await.unwrap());
    let edge_credentials = credentials(&hub.identity, node_id(1));
    let (address, hub_address) = (hub.address(), hub.endpoint.local_addr());
    let admitted = doomed.spawn({
        let hub = Arc::clone(&hub);
        async move { hub.admit().await }
    });
    let edge = soon(connect(&address, &edge_credentials, &settings()))
        .await
        .unwrap();
    let far = soon(admitted).await.unwrap();
    doomed.shutdown_background();
    drop(far);
    let Ok(Hub { identity, endpoint }) = Arc::try_unwrap(hub) else {
        panic!("the hub is still in use")
    };
    drop(endpoint);
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    let reborn = loop {
        match HubEndpoint::bind(hub_address, &identity, &TransportSettings::hub()) {
            Ok(reborn) => break reborn,
            // The old socket closes when the last task that uses it is gone.
            Err(error) => assert!(tokio::time::Instant::now() < deadline, "{error}"),
        }
        tokio::task::yield_now().await;
    };
    let quick = Duration::from_secs(10);
    edge.send(Channel::Events, vec![1; 500]).await.unwrap();
    let error = tokio::time::timeout(quick, edge.recv())
        .await
        .expect("it waited for its idle time-out of 45 s")
        .unwrap_err();
    assert!(
        matches!(error, TransportError::ConnectionLost { .. }),
        "{error}"
    );
    drop(reborn);
}
