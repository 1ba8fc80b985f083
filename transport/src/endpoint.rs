//! The hub's socket, and the edge's way to it.
//!
//! The hub takes both ALPNs on one UDP socket. TLS itself lets a peer in without a certificate;
//! what it may then do depends on the ALPN: enrol, and nothing else.

pub(crate) mod client;
mod hub;

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;

use socket2::{Domain, Protocol, Socket, Type};

use crate::settings::TransportSettings;

pub use client::{DeviceKeys, connect, enrol};
pub use hub::{Arrival, EnrolmentArrival, HubEndpoint, SyncArrival};

/// What the hub says on its one-way stream once it lets a node in.
const WELCOME: [u8; 1] = [1];

/// A UDP socket with room for a burst: what the kernel drops has to be sent twice.
fn open_socket(address: SocketAddr, settings: &TransportSettings) -> io::Result<UdpSocket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::DGRAM,
        Some(Protocol::UDP),
    )?;
    let buffer_bytes = settings.socket_buffer_bytes as usize;
    // Refused or cut where the system has a limit, and good enough then.
    let _ = socket.set_recv_buffer_size(buffer_bytes);
    let _ = socket.set_send_buffer_size(buffer_bytes);
    socket.bind(&address.into())?;
    Ok(socket.into())
}

fn runtime() -> io::Result<Arc<dyn quinn::Runtime>> {
    quinn::default_runtime().ok_or_else(|| io::Error::other("no tokio runtime is running"))
}
