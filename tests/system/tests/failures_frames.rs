//! A device with a good certificate that sends frames no device should: the hub names the fault,
//! lets go of it, and serves the others.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use quinn::crypto::rustls::QuicClientConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use sync_transport::FRAME_BYTES_MAX;
use sync_transport::pki::HUB_SERVER_NAME;
use system_tests::{Edge, Journey, World, settle, story};

const PATIENCE: Duration = Duration::from_secs(30);
/// First bytes of the three streams that a device opens.
const CHANNELS: [u8; 3] = [0, 1, 2];

fn pem(path: &Path) -> Result<Vec<u8>> {
    Ok(pem::parse(std::fs::read(path)?)?.into_contents())
}

/// TLS with the credentials that a device got at its enrolment.
fn credentials(keys: &Path) -> Result<quinn::ClientConfig> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from(pem(&keys.join("ca.cert.pem"))?))?;
    let chain = vec![CertificateDer::from(pem(&keys.join("node.cert.pem"))?)];
    let key = PrivateKeyDer::try_from(pem(&keys.join("node.key.pem"))?);
    let key = key.map_err(|what| anyhow::anyhow!("the device's key: {what}"))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key)?;
    tls.alpn_protocols = vec![b"mwimule-sync/1".to_vec()];
    Ok(quinn::ClientConfig::new(Arc::new(
        QuicClientConfig::try_from(tls)?,
    )))
}

/// Is let in, sends these bytes on the events channel and ends it; gives the hub's last words.
async fn send_raw(hub: &str, keys: &Path, bytes: &[u8]) -> Result<String> {
    let endpoint = quinn::Endpoint::client(([127, 0, 0, 1], 0).into())?;
    let connecting = endpoint.connect_with(credentials(keys)?, hub.parse()?, HUB_SERVER_NAME)?;
    let connection = connecting.await?;
    let mut streams = vec![];
    for channel in CHANNELS {
        let (mut send, receive) = connection.open_bi().await?;
        send.write_all(&[channel]).await?;
        streams.push((send, receive));
    }
    connection.accept_uni().await.context("let in")?;
    let events = &mut streams[1].0;
    events.write_all(bytes).await?;
    events.finish()?;
    let end = connection.closed().await;
    let quinn::ConnectionError::ApplicationClosed(close) = end else {
        return Err(end.into());
    };
    Ok(String::from_utf8_lossy(&close.reason).into_owned())
}

fn words_for(world: &World<'_>, rude: &Edge, bytes: &[u8]) -> Result<String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let keys = rude.data().join("keys");
    runtime.block_on(async {
        let said = tokio::time::timeout(PATIENCE, send_raw(world.hub.quic(), &keys, bytes));
        said.await.context("the hub said nothing")?
    })
}

#[test]
fn a_frame_over_the_cap_and_a_cut_one_are_named_and_others_are_served_on() -> Result<()> {
    story(|place| {
        let mut world = World::new(place)?;
        let trips = world.hub.trips_from("LUN")?;
        let honest = world.station("LUN")?;
        world.stock(&honest, "LUN", &trips[..1], 6)?;
        let code = world.station_code("KAB")?;
        let rude = Edge::enrol(place, "mwimule-edge", "rude", &code)?;
        let over = (FRAME_BYTES_MAX as u32 + 1).to_be_bytes();
        let mut cut = 100_u32.to_be_bytes().to_vec();
        cut.extend([7; 10]);
        // Whole, and none of the messages of the protocol.
        let mut nonsense = 3_u32.to_be_bytes().to_vec();
        nonsense.extend([0xFF; 3]);
        let mut tickets = std::collections::BTreeSet::new();
        let cases: [(&[u8], &[&str]); 3] = [
            (&over, &["1048577 bytes", "over the cap of 1048576 bytes"]),
            (&cut, &["cut short", "10 of 100 bytes"]),
            (&nonsense, &[]),
        ];
        for (bytes, words) in cases {
            let said = words_for(&world, &rude, bytes)?;
            for word in words {
                ensure!(said.contains(word), "no {word:?} in {said:?}");
            }
            ensure!(!said.is_empty(), "the hub gave no reason");
            let journey = Journey {
                trip: trips[0].id,
                from: "LUN".to_owned(),
                to: trips[0].stops[1].clone(),
                adults: 1,
            };
            let sold = honest.sell(&world.dice.uuid(), &journey)?;
            tickets.extend(sold.tickets.into_iter().map(|(id, _)| id));
            world.drain(&honest)?;
            world.hub.check()?;
        }
        settle(&world.hub, tickets.len(), &tickets)
    })
}
