//! Every window and time-out of a connection, in one struct with units in its names.

use std::time::Duration;

use quinn::{AckFrequencyConfig, IdleTimeout, MtuDiscoveryConfig, TransportConfig, VarInt};

use crate::channel::{Channel, FRAME_BYTES_MAX};

/// Datagrams that wait to be read, in bytes; beyond it the oldest is dropped.
const DATAGRAMS_BYTES: usize = 64 * 1024;
/// Datagrams that wait to be sent, in bytes.
const DATAGRAMS_WAITING_BYTES: usize = 4 * 1024;

/// How a connection behaves. [`Self::hub`] and [`Self::edge`] are good starting points.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransportSettings {
    /// How long an edge waits for the hub, from the first packet to being let in, in ms.
    pub connect_timeout_ms: u32,
    /// How long the hub gives a peer for its handshake and its first bytes, in ms.
    pub handshake_timeout_ms: u32,
    /// How long a device waits for the hub's answer to an enrolment, in ms.
    pub enrolment_timeout_ms: u32,
    /// Silence after which a connection is lost, in ms; the smaller of both sides counts.
    pub idle_timeout_ms: u32,
    /// How often an idle connection is kept alive, in ms; 0 for never.
    pub keep_alive_interval_ms: u32,
    /// What the peer may have under way on one channel, in bytes.
    pub channel_window_bytes: u32,
    /// What the peer may have under way on all channels, in bytes.
    pub connection_window_bytes: u32,
    /// What we keep for retransmission before `send` waits, in bytes.
    pub send_window_bytes: u32,
    /// What the kernel is asked to hold per socket and direction, in bytes; it may give less.
    pub socket_buffer_bytes: u32,
    /// Acknowledge every so many packets instead of every second one.
    pub acknowledge_every_packets: u16,
    /// Whether the kernel may split packets for us: off on edges, whose drivers often cannot.
    pub segmentation_offload: bool,
    /// Handshakes that a hub carries on at once; more are refused.
    pub handshakes_max: u16,
}

impl TransportSettings {
    /// For the hub's endpoint.
    pub const fn hub() -> Self {
        Self {
            connect_timeout_ms: 5_000,
            handshake_timeout_ms: 10_000,
            enrolment_timeout_ms: 20_000,
            idle_timeout_ms: 45_000,
            keep_alive_interval_ms: 0,
            channel_window_bytes: 2 * FRAME_BYTES_MAX as u32,
            connection_window_bytes: 4 * FRAME_BYTES_MAX as u32,
            send_window_bytes: 4 * FRAME_BYTES_MAX as u32,
            socket_buffer_bytes: 4 * FRAME_BYTES_MAX as u32,
            acknowledge_every_packets: 10,
            segmentation_offload: true,
            handshakes_max: 256,
        }
    }

    /// For a node or a device: it keeps the way through the network's address translation open.
    pub const fn edge() -> Self {
        Self {
            keep_alive_interval_ms: 15_000,
            socket_buffer_bytes: FRAME_BYTES_MAX as u32,
            segmentation_offload: false,
            ..Self::hub()
        }
    }

    pub(crate) const fn connect_timeout(&self) -> Duration {
        Duration::from_millis(self.connect_timeout_ms as u64)
    }

    pub(crate) const fn handshake_timeout(&self) -> Duration {
        Duration::from_millis(self.handshake_timeout_ms as u64)
    }

    pub(crate) const fn enrolment_timeout(&self) -> Duration {
        Duration::from_millis(self.enrolment_timeout_ms as u64)
    }

    /// `accepts_channels`: the side that edges open channels to, which is the hub.
    pub(crate) fn quinn(&self, accepts_channels: bool) -> TransportConfig {
        let mut acknowledgements = AckFrequencyConfig::default();
        // The extension counts how many packets may go unacknowledged, one less than this.
        acknowledgements.ack_eliciting_threshold(VarInt::from_u32(u32::from(
            self.acknowledge_every_packets.max(1) - 1,
        )));
        let keep_alive = Duration::from_millis(u64::from(self.keep_alive_interval_ms));
        let channels = VarInt::from_u32(Channel::ALL.len() as u32);
        let none = VarInt::from_u32(0);
        // The hub says welcome on the only one-way stream there is.
        let welcomes = VarInt::from_u32(1);
        let mut config = TransportConfig::default();
        config
            .max_idle_timeout(Some(IdleTimeout::from(VarInt::from_u32(
                self.idle_timeout_ms.max(1),
            ))))
            .keep_alive_interval((!keep_alive.is_zero()).then_some(keep_alive))
            .stream_receive_window(VarInt::from_u32(self.channel_window_bytes))
            .receive_window(VarInt::from_u32(self.connection_window_bytes))
            .send_window(u64::from(self.send_window_bytes))
            .max_concurrent_bidi_streams(if accepts_channels { channels } else { none })
            .max_concurrent_uni_streams(if accepts_channels { none } else { welcomes })
            // Positions go up as datagrams. Nothing comes down as one, but quinn sends none where
            // it may not receive any.
            .datagram_receive_buffer_size(Some(DATAGRAMS_BYTES))
            // Where the network is slower than the receiver, the oldest fix is dropped.
            .datagram_send_buffer_size(DATAGRAMS_WAITING_BYTES)
            .enable_segmentation_offload(self.segmentation_offload)
            .ack_frequency_config(Some(acknowledgements))
            .mtu_discovery_config(Some(MtuDiscoveryConfig::default()));
        config
    }
}
