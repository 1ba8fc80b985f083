//! Both sides over real QUIC on loopback.

mod enrolment;
mod frames;
mod trust;

use std::time::Duration;

use domain::ids::NodeId;

use crate::channel::Connection;
use crate::endpoint::{Arrival, HubEndpoint, connect};
use crate::pki::{HubIdentity, NodeCredentials, NodeTlsKey};
use crate::settings::TransportSettings;

/// A hub on a free port.
struct Hub {
    identity: HubIdentity,
    endpoint: HubEndpoint,
}

fn settings() -> TransportSettings {
    TransportSettings::edge()
}

fn node_id(n: u8) -> NodeId {
    NodeId::from_bytes([n; 16])
}

/// No test waits longer than this for anything.
async fn soon<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(30), work)
        .await
        .expect("30 s were not enough")
}

fn credentials(identity: &HubIdentity, node: NodeId) -> NodeCredentials {
    let key = NodeTlsKey::generate().unwrap();
    let certificate = identity
        .issue_node_certificate(&key.signing_request().unwrap(), node)
        .unwrap();
    NodeCredentials::new(key, &certificate, identity.ca_certificate()).unwrap()
}

impl Hub {
    fn start() -> Self {
        let identity = HubIdentity::generate().unwrap();
        let endpoint = HubEndpoint::bind(
            "127.0.0.1:0".parse().unwrap(),
            &identity,
            &TransportSettings::hub(),
        )
        .unwrap();
        Self { identity, endpoint }
    }

    fn address(&self) -> String {
        self.endpoint.local_addr().to_string()
    }

    async fn admit(&self) -> Connection {
        match soon(self.endpoint.accept()).await.unwrap() {
            Arrival::Sync(arrival) => arrival.admit().await.unwrap(),
            Arrival::Enrolment(arrival) => panic!("expected a node, got {arrival:?}"),
        }
    }

    /// Both ends of a new connection, the edge's first.
    async fn pair(&self) -> (Connection, Connection) {
        let credentials = credentials(&self.identity, node_id(1));
        let address = self.address();
        let settings = settings();
        let (edge, hub) =
            soon(async { tokio::join!(connect(&address, &credentials, &settings), self.admit()) })
                .await;
        (edge.unwrap(), hub)
    }
}
