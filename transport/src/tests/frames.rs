use std::cell::Cell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Hub, credentials, node_id, settings, soon};
use crate::channel::{Channel, Connection, FRAME_BYTES_MAX};
use crate::endpoint::client::dial;
use crate::error::{CloseCode, TransportError};
use crate::tls;

/// A small generator: frames of every size, the same in each run.
fn noise(seed: u64, bytes: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..bytes)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state as u8
        })
        .collect()
}

fn frame(channel: Channel, n: u64) -> Vec<u8> {
    let bytes = match n % 50 {
        0 => 0,
        1 => 100_000,
        _ => (n * 37 % 1500) as usize,
    };
    noise(n << 2 | u64::from(channel.id()), bytes)
}

async fn send_all(connection: &Connection, count: u64) {
    for n in 0..count {
        for channel in Channel::ALL {
            connection.send(channel, frame(channel, n)).await.unwrap();
        }
    }
}

async fn receive_all(connection: &Connection, count: u64) {
    let mut next = [0; 3];
    while next.iter().any(|n| *n < count) {
        let (channel, got) = connection.recv().await.unwrap();
        let n = &mut next[usize::from(channel.id())];
        assert_eq!(got, frame(channel, *n), "{channel} {n}");
        *n += 1;
    }
}

#[tokio::test]
async fn frames_of_all_channels_arrive_whole_and_in_order_both_ways() {
    let hub = Hub::start();
    let (edge, far) = hub.pair().await;
    assert_eq!(far.node(), Some(node_id(1)));
    assert_eq!(edge.node(), None);
    soon(async {
        tokio::join!(
            send_all(&edge, 500),
            receive_all(&far, 500),
            send_all(&far, 500),
            receive_all(&edge, 500)
        )
    })
    .await;
}

#[tokio::test]
async fn the_largest_frame_passes_and_one_byte_more_is_refused_before_it_is_sent() {
    let hub = Hub::start();
    let (edge, far) = hub.pair().await;
    let error = edge
        .send(Channel::Events, vec![0; FRAME_BYTES_MAX + 1])
        .await
        .unwrap_err();
    assert!(
        matches!(
            error,
            TransportError::FrameTooLarge {
                channel: Channel::Events,
                bytes: 1_048_577
            }
        ),
        "{error}"
    );
    // The connection is as good as before.
    let largest = noise(1, FRAME_BYTES_MAX);
    edge.send(Channel::Events, largest.clone()).await.unwrap();
    assert_eq!(soon(far.recv()).await.unwrap(), (Channel::Events, largest));
}

/// An edge that speaks QUIC and opens its channels as told, and then does as it likes.
struct Rude {
    _endpoint: quinn::Endpoint,
    quic: quinn::Connection,
    streams: Vec<quinn::SendStream>,
}

impl Rude {
    async fn dial(hub: &Hub, channels: &[u8]) -> Self {
        let crypto = tls::node(&credentials(&hub.identity, node_id(2))).unwrap();
        let (endpoint, quic) = dial(&hub.address(), crypto, &settings()).await.unwrap();
        let mut streams = Vec::new();
        for channel in channels {
            let (mut send, _) = quic.open_bi().await.unwrap();
            send.write_all(&[*channel]).await.unwrap();
            streams.push(send);
        }
        Self {
            _endpoint: endpoint,
            quic,
            streams,
        }
    }

    async fn closed_with(&self) -> CloseCode {
        let end = soon(self.quic.closed()).await;
        let quinn::ConnectionError::ApplicationClosed(close) = end else {
            panic!("{end}")
        };
        CloseCode::from_number(u64::from(close.error_code) as u32)
    }
}

#[tokio::test]
async fn a_received_frame_over_the_cap_is_named_and_closes_the_connection() {
    let hub = Hub::start();
    let mut rude = Rude::dial(&hub, &[0, 1, 2]).await;
    let far = hub.admit().await;
    rude.streams[2].write_all(&[0xff; 4]).await.unwrap();
    let error = soon(far.recv()).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "a frame of 4294967295 bytes on the buckets channel is over the cap of 1048576 bytes: \
         it was not carried"
    );
    assert_eq!(rude.closed_with().await, CloseCode::FrameTooLarge);
}

#[tokio::test]
async fn a_frame_cut_short_is_named_and_what_came_before_it_is_delivered() {
    for (sent, got, expected) in [
        (&b"\0\0\0\x01A\0\0"[..], 2, 4),
        (b"\0\0\0\x01A\0\0\0\x09hello", 5, 9),
        (b"\0\0\0\x01A\0\0\0\x09", 0, 9),
    ] {
        let hub = Hub::start();
        let mut rude = Rude::dial(&hub, &[0, 1, 2]).await;
        let far = hub.admit().await;
        rude.streams[1].write_all(sent).await.unwrap();
        rude.streams[1].finish().unwrap();
        let first = soon(far.recv()).await.unwrap();
        assert_eq!(first, (Channel::Events, b"A".to_vec()));
        let error = soon(far.recv()).await.unwrap_err();
        let TransportError::FrameTruncated {
            channel: Channel::Events,
            got_bytes,
            expected_bytes,
        } = error
        else {
            panic!("{error}")
        };
        assert_eq!((got_bytes, expected_bytes), (got, expected));
        assert_eq!(rude.closed_with().await, CloseCode::FrameTruncated);
    }
}

#[tokio::test]
async fn an_unknown_or_doubled_channel_is_not_let_in() {
    for (channels, code) in [
        (&[0, 1, 7][..], CloseCode::UnknownChannel),
        (&[0, 1, 1], CloseCode::ProtocolBroken),
    ] {
        let hub = Hub::start();
        let rude = Rude::dial(&hub, channels).await;
        let Some(crate::Arrival::Sync(arrival)) = soon(hub.endpoint.accept()).await else {
            panic!("no node arrived")
        };
        let error = arrival.admit().await.unwrap_err();
        match (code, error) {
            (CloseCode::UnknownChannel, TransportError::UnknownChannel { id: 7, .. })
            | (CloseCode::ProtocolBroken, TransportError::ProtocolBroken { .. }) => {}
            (_, other) => panic!("{other}"),
        }
        assert_eq!(rude.closed_with().await, code);
    }
}

#[tokio::test]
async fn a_cancelled_recv_loses_nothing_of_a_frame_that_dribbles_in() {
    let hub = Hub::start();
    let mut rude = Rude::dial(&hub, &[0, 1, 2]).await;
    let far = hub.admit().await;
    let body = noise(9, 3000);
    let mut wire = 3000_u32.to_be_bytes().to_vec();
    wire.extend_from_slice(&body);
    let cancelled = Cell::new(0);
    let writer = async {
        for piece in wire.chunks(101) {
            rude.streams[0].write_all(piece).await.unwrap();
            let before = cancelled.get();
            while cancelled.get() == before {
                tokio::task::yield_now().await;
            }
        }
        std::future::pending::<()>().await;
    };
    let reader = async {
        loop {
            tokio::select! {
                biased;
                got = far.recv() => return got.unwrap(),
                // tidy-allow-sleep: cancels a read, and waits for nothing
                () = tokio::time::sleep(Duration::from_millis(2)) => {
                    cancelled.set(cancelled.get() + 1);
                }
            }
        }
    };
    let got = soon(async {
        tokio::select! {
            got = reader => got,
            () = writer => unreachable!(),
        }
    })
    .await;
    assert_eq!(got, (Channel::Control, body));
    assert!(cancelled.get() >= 29, "{} were cancelled", cancelled.get());
}

#[tokio::test]
async fn send_waits_for_a_peer_that_does_not_read_and_then_goes_on() {
    let hub = Hub::start();
    let (edge, far) = hub.pair().await;
    let piece = 256 * 1024;
    let mut sent = 0_usize;
    // The peer takes nothing, so at some point a second passes without room.
    while tokio::time::timeout(
        Duration::from_secs(1),
        edge.send(Channel::Events, vec![7; piece]),
    )
    .await
    .is_ok()
    {
        sent += 1;
        assert!(sent * piece < 16 * FRAME_BYTES_MAX, "nothing holds back");
    }
    let settings = settings();
    let held = (settings.channel_window_bytes + settings.send_window_bytes) as usize;
    assert!(sent * piece <= held + 3 * piece, "{sent} frames are held");
    // Another channel is not behind the full one.
    edge.send(Channel::Control, b"urgent".to_vec())
        .await
        .unwrap();
    let mut events = 0;
    let mut urgent = false;
    while events < sent || !urgent {
        match soon(far.recv()).await.unwrap() {
            (Channel::Events, got) => {
                assert_eq!(got.len(), piece);
                events += 1;
            }
            (Channel::Control, got) => urgent = got == b"urgent",
            (Channel::Buckets, _) => panic!("nothing was sent there"),
        }
    }
}

#[tokio::test]
async fn no_channel_starves_another() {
    let hub = Hub::start();
    let (edge, far) = hub.pair().await;
    let edge = Arc::new(edge);
    for channel in Channel::ALL {
        let edge = Arc::clone(&edge);
        tokio::spawn(async move { while edge.send(channel, vec![0; 1000]).await.is_ok() {} });
    }
    let mut counts = [0_u32; 3];
    while counts.iter().any(|count| *count < 1000) {
        let (channel, _) = soon(far.recv()).await.unwrap();
        counts[usize::from(channel.id())] += 1;
        assert!(counts.iter().sum::<u32>() < 300_000, "{counts:?}");
    }
}

#[tokio::test]
async fn finish_delivers_everything_that_was_sent() {
    let hub = Hub::start();
    let (edge, far) = hub.pair().await;
    let receiver = tokio::spawn(async move {
        let mut frames = 0;
        loop {
            match far.recv().await {
                Ok(_) => frames += 1,
                Err(error) => return (frames, error),
            }
        }
    });
    for _ in 0..20 {
        edge.send(Channel::Events, vec![1; 200_000]).await.unwrap();
    }
    soon(edge.finish(Duration::from_secs(20))).await.unwrap();
    let (frames, end) = soon(receiver).await.unwrap();
    assert_eq!(frames, 20);
    assert!(
        matches!(
            end,
            TransportError::ClosedByPeer {
                code: CloseCode::Done,
                ..
            }
        ),
        "{end}"
    );
    let after = edge.send(Channel::Events, vec![1]).await.unwrap_err();
    assert!(matches!(after, TransportError::ClosedHere), "{after}");
}

#[tokio::test]
async fn ten_thousand_events_cost_little_more_than_their_bytes() {
    let hub = Hub::start();
    let (edge, far) = hub.pair().await;
    let before = edge.byte_counters();
    let begin = Instant::now();
    let payload = 15 * 200_000;
    let sender = async {
        for _ in 0..15 {
            edge.send(Channel::Events, noise(3, 200_000)).await.unwrap();
        }
        edge.recv().await.unwrap();
    };
    let receiver = async {
        for _ in 0..15 {
            far.recv().await.unwrap();
        }
        far.send(Channel::Events, b"all".to_vec()).await.unwrap();
    };
    soon(async { tokio::join!(sender, receiver) }).await;
    let took = begin.elapsed();
    let after = edge.byte_counters();
    let wire = after.sent_bytes + after.received_bytes - before.sent_bytes - before.received_bytes;
    println!(
        "{payload} bytes in {took:?}: {} sent, {} received in {} + {} datagrams, {} lost, rtt {:?}",
        after.sent_bytes - before.sent_bytes,
        after.received_bytes - before.received_bytes,
        after.sent_datagrams - before.sent_datagrams,
        after.received_datagrams - before.received_datagrams,
        after.lost_packets,
        edge.rtt()
    );
    assert!(wire > payload, "the counters count nothing");
    assert!(wire < payload * 106 / 100, "{wire} bytes for {payload}");
}
