//! One connection with its three channels, and the frames on them.
//!
//! A channel is one bidirectional QUIC stream that the edge opens, with the channel's number as
//! its first byte. A frame is its length as a big-endian `u32`, then that many bytes.

mod reader;

use core::fmt;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use domain::ids::NodeId;
use quinn::{RecvStream, SendStream};
pub use sync_protocol::Channel;
use tokio::sync::{Mutex, mpsc, oneshot};

use crate::error::{CloseCode, TransportError, cut};
use reader::{FrameReader, Merge};

/// The longest frame, in bytes.
pub const FRAME_BYTES_MAX: usize = 1024 * 1024;

/// Frames that wait behind the one being written, per channel.
const WAITING_FRAMES_MAX: usize = 1;

/// UDP payload bytes of one connection, headers of QUIC and lost packets included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ByteCounters {
    /// Sent, in bytes.
    pub sent_bytes: u64,
    /// Received, in bytes.
    pub received_bytes: u64,
    /// Datagrams sent.
    pub sent_datagrams: u64,
    /// Datagrams received.
    pub received_datagrams: u64,
    /// Packets of ours that were given up for lost and sent again.
    pub lost_packets: u64,
}

/// An open connection. All methods take `&self`; put it in an `Arc` to send and receive from
/// two tasks, which a driver should do: `send` waits while the peer does not read.
///
/// Dropping it closes the connection at once; [`Self::finish`] first delivers what was sent.
pub struct Connection {
    quic: quinn::Connection,
    peer: String,
    node: Option<NodeId>,
    /// By the channel's number.
    writers: Vec<mpsc::Sender<Order>>,
    merge: Mutex<Merge>,
    /// An edge's own socket; the hub's is shared.
    endpoint: Option<quinn::Endpoint>,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("peer", &self.peer)
            .finish_non_exhaustive()
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.quic.close(CloseCode::Done.varint(), b"");
    }
}

/// What a channel's writer is told to do.
enum Order {
    Frame(Bytes),
    /// Ends the stream and answers once the peer has all of it.
    Finish(oneshot::Sender<()>),
}

impl Connection {
    /// Opens the channels as the edge.
    pub(crate) async fn open(
        quic: quinn::Connection,
        endpoint: quinn::Endpoint,
        hub: &str,
    ) -> Result<Self, TransportError> {
        let mut streams = Vec::with_capacity(Channel::ALL.len());
        for channel in Channel::ALL {
            let lost = |error: &_| TransportError::of_connection(error, hub);
            let (mut send, receive) = quic.open_bi().await.map_err(|error| lost(&error))?;
            if send.write_all(&[channel.id()]).await.is_err() {
                return Err(failure(&quic, hub));
            }
            streams.push((channel, send, receive));
        }
        Ok(Self::new(
            quic,
            streams,
            hub.to_owned(),
            None,
            Some(endpoint),
        ))
    }

    /// Takes the channels that an edge opens, as the hub.
    pub(crate) async fn accept(
        quic: quinn::Connection,
        node: NodeId,
    ) -> Result<Self, TransportError> {
        let peer = format!("node {node}");
        let mut streams: Vec<(Channel, SendStream, RecvStream)> = Vec::new();
        while streams.len() < Channel::ALL.len() {
            let lost = |error: &_| TransportError::of_connection(error, &peer);
            let (send, mut receive) = quic.accept_bi().await.map_err(|error| lost(&error))?;
            let mut id = [0];
            if receive.read_exact(&mut id).await.is_err() {
                return Err(TransportError::ProtocolBroken {
                    peer,
                    what: "a channel ended before its number".to_owned(),
                });
            }
            let Some(channel) = Channel::from_id(id[0]) else {
                return Err(TransportError::UnknownChannel { peer, id: id[0] });
            };
            if streams.iter().any(|(open, _, _)| *open == channel) {
                return Err(TransportError::ProtocolBroken {
                    peer,
                    what: format!("the {channel} channel was opened twice"),
                });
            }
            streams.push((channel, send, receive));
        }
        streams.sort_by_key(|(channel, _, _)| *channel);
        Ok(Self::new(quic, streams, peer, Some(node), None))
    }

    /// `streams` holds each channel once, in order.
    fn new(
        quic: quinn::Connection,
        streams: Vec<(Channel, SendStream, RecvStream)>,
        peer: String,
        node: Option<NodeId>,
        endpoint: Option<quinn::Endpoint>,
    ) -> Self {
        let mut writers = Vec::with_capacity(streams.len());
        let mut readers = Vec::with_capacity(streams.len());
        for (channel, send, receive) in streams {
            // Fails only when the connection is gone, which the first write will say.
            let _ = send.set_priority(-i32::from(channel.id()));
            let (orders, queue) = mpsc::channel(WAITING_FRAMES_MAX);
            tokio::spawn(write_frames(send, queue));
            writers.push(orders);
            readers.push(FrameReader::new(channel, receive));
        }
        Self {
            quic,
            peer,
            node,
            writers,
            merge: Mutex::new(Merge::new(readers)),
            endpoint,
        }
    }

    /// Sends one frame; waits while the peer or the network cannot take more.
    ///
    /// Cancel-safe: a frame is either taken whole or not at all. Taken is not delivered; only
    /// the peer's answer says that.
    pub async fn send(&self, channel: Channel, frame: Vec<u8>) -> Result<(), TransportError> {
        if frame.len() > FRAME_BYTES_MAX {
            return Err(TransportError::FrameTooLarge {
                channel,
                bytes: frame.len() as u64,
            });
        }
        if self.quic.close_reason().is_some() {
            return Err(failure(&self.quic, &self.peer));
        }
        self.writers[usize::from(channel.id())]
            .send(Order::Frame(frame.into()))
            .await
            .map_err(|_| failure(&self.quic, &self.peer))
    }

    /// Sends a datagram, which may be lost, and pushes older ones out of a full queue; whether it
    /// could be sent at all.
    pub fn send_datagram(&self, frame: &[u8]) -> bool {
        let bytes = Bytes::copy_from_slice(frame);
        self.quic.send_datagram(bytes).is_ok()
    }

    /// The next datagram; on the hub only.
    pub async fn recv_datagram(&self) -> Result<Vec<u8>, TransportError> {
        match self.quic.read_datagram().await {
            Ok(bytes) => Ok(bytes.to_vec()),
            Err(error) => Err(TransportError::of_connection(&error, &self.peer)),
        }
    }

    /// The next frame of any channel, each channel in turn.
    ///
    /// Cancel-safe: what has arrived of a frame is kept for the next call. Nothing is read
    /// ahead of the caller but the one frame per channel being put together and the windows of
    /// the settings.
    pub async fn recv(&self) -> Result<(Channel, Vec<u8>), TransportError> {
        let mut merge = self.merge.lock().await;
        let next = poll_fn(|cx| merge.poll_next(cx)).await;
        match next {
            Ok(Some(frame)) => Ok(frame),
            // Every channel has ended; the peer is about to say why.
            Ok(None) => Err(self.closed().await),
            Err(reader::ReadFailure::Lost(error)) => {
                Err(TransportError::of_connection(&error, &self.peer))
            }
            Err(reader::ReadFailure::Broken(error)) => {
                refuse(&self.quic, &error);
                Err(error)
            }
        }
    }

    /// Delivers everything that was sent, then closes with [`CloseCode::Done`].
    ///
    /// Gives up and closes after `wait`, with what became of the connection or, when the peer
    /// just does not read, [`TransportError::ConnectionLost`].
    pub async fn finish(&self, wait: Duration) -> Result<(), TransportError> {
        let delivered = tokio::time::timeout(wait, self.deliver()).await;
        let outcome = delivered.unwrap_or_else(|_| {
            Err(TransportError::ConnectionLost {
                peer: self.peer.clone(),
            })
        });
        self.close(CloseCode::Done, "");
        if let Some(endpoint) = &self.endpoint {
            // The close is one packet: leave it a moment to get out before the process ends.
            let _ =
                tokio::time::timeout(wait.min(Duration::from_secs(1)), endpoint.wait_idle()).await;
        }
        outcome
    }

    async fn deliver(&self) -> Result<(), TransportError> {
        let mut ends = Vec::with_capacity(self.writers.len());
        for writer in &self.writers {
            let (ended, end) = oneshot::channel();
            if writer.send(Order::Finish(ended)).await.is_ok() {
                ends.push(end);
            }
        }
        let expected = self.writers.len();
        let mut ended = 0;
        for end in ends {
            ended += usize::from(end.await.is_ok());
        }
        if ended == expected {
            Ok(())
        } else {
            Err(failure(&self.quic, &self.peer))
        }
    }

    /// Closes at once; what was sent and not yet delivered is lost. `reason` is cut to 200 bytes.
    pub fn close(&self, code: CloseCode, reason: &str) {
        self.quic.close(code.varint(), cut(reason));
    }

    /// Waits for the end of the connection and says why.
    pub async fn closed(&self) -> TransportError {
        let error = self.quic.closed().await;
        TransportError::of_connection(&error, &self.peer)
    }

    /// The node at the other end; `None` on an edge, where it is the hub.
    pub fn node(&self) -> Option<NodeId> {
        self.node
    }

    /// Who is at the other end, in words.
    pub fn peer(&self) -> &str {
        &self.peer
    }

    /// The peer's address as seen here.
    pub fn remote_address(&self) -> SocketAddr {
        self.quic.remote_address()
    }

    /// The current estimate of the round trip.
    pub fn rtt(&self) -> Duration {
        self.quic.rtt()
    }

    /// What this connection has cost so far, handshake included.
    pub fn byte_counters(&self) -> ByteCounters {
        let stats = self.quic.stats();
        ByteCounters {
            sent_bytes: stats.udp_tx.bytes,
            received_bytes: stats.udp_rx.bytes,
            sent_datagrams: stats.udp_tx.datagrams,
            received_datagrams: stats.udp_rx.datagrams,
            lost_packets: stats.path.lost_packets,
        }
    }
}

/// Tells the peer what it did wrong, where it was the peer.
pub(crate) fn refuse(quic: &quinn::Connection, error: &TransportError) {
    if let Some(code) = error.close_code() {
        quic.close(code.varint(), cut(&error.to_string()));
    }
}

fn failure(quic: &quinn::Connection, peer: &str) -> TransportError {
    match quic.close_reason() {
        Some(error) => TransportError::of_connection(&error, peer),
        None => TransportError::ConnectionLost {
            peer: peer.to_owned(),
        },
    }
}

/// Writes one channel's frames in order; a task of its own, so that a cancelled `send` never
/// leaves half a frame on the stream.
async fn write_frames(mut stream: SendStream, mut queue: mpsc::Receiver<Order>) {
    while let Some(order) = queue.recv().await {
        match order {
            Order::Frame(body) => {
                let header = Bytes::copy_from_slice(&(body.len() as u32).to_be_bytes());
                let pieces = if body.is_empty() { 1 } else { 2 };
                let mut frame = [header, body];
                let written = stream.write_all_chunks(&mut frame[..pieces]).await;
                if written.is_err() {
                    return;
                }
            }
            Order::Finish(ended) => {
                if stream.finish().is_ok() && matches!(stream.stopped().await, Ok(None)) {
                    let _ = ended.send(());
                }
                return;
            }
        }
    }
}
