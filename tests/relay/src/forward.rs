//! Taking datagrams in and handing them out, now or later.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep_until};

use crate::fault::{Dice, Fate};
use crate::stats::{ClientStats, Counters, Stats, count};
use crate::{RelayError, RelayOptions};

/// No UDP datagram is longer, in bytes.
const DATAGRAM_BYTES_MAX: usize = 65_535;

/// What the kernel is asked to hold per socket, in bytes: a burst is not to be lost by accident.
const SOCKET_BUFFER_BYTES: usize = 4 * 1024 * 1024;

/// Client addresses that can be stopped at once.
const STOPPED_CLIENTS_MAX: usize = 4096;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direction {
    Up,
    Down,
}

#[derive(Debug)]
struct Client {
    address: SocketAddr,
    upstream_addr: SocketAddr,
    upstream: UdpSocket,
    last_seen: Mutex<Instant>,
    up: Mutex<Dice>,
    down: Mutex<Dice>,
    reader: OnceLock<AbortHandle>,
}

/// A datagram that waits. Ordered by when it is due, then by when it came.
#[derive(Debug)]
pub(crate) struct Parcel {
    due: Instant,
    number: u64,
    direction: Direction,
    client: Arc<Client>,
    bytes: Vec<u8>,
}

impl PartialEq for Parcel {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}
impl Eq for Parcel {}
impl PartialOrd for Parcel {
    fn partial_cmp(&self, other: &Self) -> Option<core::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Parcel {
    fn cmp(&self, other: &Self) -> core::cmp::Ordering {
        (self.due, self.number).cmp(&(other.due, other.number))
    }
}

#[derive(Debug)]
pub(crate) struct Forwarder {
    options: RelayOptions,
    local_addr: SocketAddr,
    socket: UdpSocket,
    stopped: AtomicBool,
    stopped_clients: Mutex<BTreeSet<SocketAddr>>,
    clients: Mutex<BTreeMap<SocketAddr, Arc<Client>>>,
    clients_seen: AtomicU64,
    parcels_seen: AtomicU64,
    waiting: mpsc::Sender<Parcel>,
    up: Counters,
    down: Counters,
    refused: AtomicU64,
}

impl Forwarder {
    pub(crate) fn open(
        options: RelayOptions,
    ) -> Result<(Arc<Self>, mpsc::Receiver<Parcel>), RelayError> {
        let failed = |source| RelayError::Listen {
            address: options.listen,
            source,
        };
        let socket = open_socket(options.listen).map_err(failed)?;
        let local_addr = socket.local_addr().map_err(failed)?;
        let (sender, receiver) = mpsc::channel(options.waiting_max.max(1));
        let forwarder = Self {
            options,
            local_addr,
            socket,
            stopped: AtomicBool::new(false),
            stopped_clients: Mutex::default(),
            clients: Mutex::default(),
            clients_seen: AtomicU64::new(0),
            parcels_seen: AtomicU64::new(0),
            waiting: sender,
            up: Counters::default(),
            down: Counters::default(),
            refused: AtomicU64::new(0),
        };
        Ok((Arc::new(forwarder), receiver))
    }

    pub(crate) fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    pub(crate) fn set_stopped(&self, stopped: bool) {
        self.stopped.store(stopped, Relaxed);
    }

    /// Whether there was room to remember it.
    pub(crate) fn set_client_stopped(&self, client: SocketAddr, stopped: bool) -> bool {
        let mut clients = lock(&self.stopped_clients);
        if !stopped {
            clients.remove(&client);
        } else if clients.len() < STOPPED_CLIENTS_MAX {
            clients.insert(client);
        } else {
            return clients.contains(&client);
        }
        true
    }

    pub(crate) fn stats(&self) -> Stats {
        let stopped = lock(&self.stopped_clients).clone();
        let clients = lock(&self.clients)
            .values()
            .map(|client| ClientStats {
                client: client.address,
                upstream: client.upstream_addr,
                stopped: stopped.contains(&client.address),
            })
            .collect();
        Stats {
            stopped: self.stopped.load(Relaxed),
            up: self.up.snapshot(),
            down: self.down.snapshot(),
            refused_datagrams: self.refused.load(Relaxed),
            clients,
        }
    }

    pub(crate) fn forget_all(&self) {
        for (_, client) in core::mem::take(&mut *lock(&self.clients)) {
            client.forget();
        }
    }

    fn counters(&self, direction: Direction) -> &Counters {
        match direction {
            Direction::Up => &self.up,
            Direction::Down => &self.down,
        }
    }

    fn drops(&self, client: &Client) -> bool {
        self.stopped.load(Relaxed) || lock(&self.stopped_clients).contains(&client.address)
    }

    /// The client at an address; a new one where there is room.
    async fn client(self: &Arc<Self>, address: SocketAddr) -> io::Result<Arc<Client>> {
        if let Some(client) = lock(&self.clients).get(&address) {
            return Ok(Arc::clone(client));
        }
        if lock(&self.clients).len() >= self.options.clients_max {
            return Err(io::Error::other("too many clients"));
        }
        let any: SocketAddr = if self.options.to.is_ipv4() {
            ([0, 0, 0, 0], 0).into()
        } else {
            ([0_u16; 8], 0).into()
        };
        let upstream = open_socket(any)?;
        upstream.connect(self.options.to).await?;
        let number = self.clients_seen.fetch_add(1, Relaxed);
        let client = Arc::new(Client {
            address,
            upstream_addr: upstream.local_addr()?,
            upstream,
            last_seen: Mutex::new(Instant::now()),
            up: Mutex::new(Dice::new(self.options.faults, 2 * number)),
            down: Mutex::new(Dice::new(self.options.faults, 2 * number + 1)),
            reader: OnceLock::new(),
        });
        let reader = tokio::spawn(bring_back(Arc::clone(self), Arc::clone(&client)));
        let _ = client.reader.set(reader.abort_handle());
        lock(&self.clients).insert(address, Arc::clone(&client));
        Ok(client)
    }

    async fn forward(&self, direction: Direction, client: &Arc<Client>, bytes: &[u8]) {
        let counters = self.counters(direction);
        counters.received.count(bytes.len());
        *lock(&client.last_seen) = Instant::now();
        // Rolled for dropped datagrams too: a stop does not shift the fates after it.
        let fate = match direction {
            Direction::Up => lock(&client.up).next_fate(),
            Direction::Down => lock(&client.down).next_fate(),
        };
        if self.drops(client) {
            count(&counters.stopped);
        } else if fate.lost {
            count(&counters.lost);
        } else {
            self.pass_on(direction, client, bytes, fate).await;
        }
    }

    async fn pass_on(&self, direction: Direction, client: &Arc<Client>, bytes: &[u8], fate: Fate) {
        let counters = self.counters(direction);
        if fate.reordered {
            count(&counters.reordered);
        }
        if fate.duplicated {
            count(&counters.duplicated);
        }
        for _ in 0..=u8::from(fate.duplicated) {
            if fate.delay.is_zero() {
                self.hand_out(direction, client, bytes).await;
                continue;
            }
            let parcel = Parcel {
                due: Instant::now() + fate.delay,
                number: self.parcels_seen.fetch_add(1, Relaxed),
                direction,
                client: Arc::clone(client),
                bytes: bytes.to_vec(),
            };
            if self.waiting.try_send(parcel).is_err() {
                count(&counters.failed);
            }
        }
    }

    async fn hand_out(&self, direction: Direction, client: &Client, bytes: &[u8]) {
        let counters = self.counters(direction);
        let sent = match direction {
            Direction::Up => client.upstream.send(bytes).await,
            Direction::Down => self.socket.send_to(bytes, client.address).await,
        };
        match sent {
            Ok(bytes) => counters.forwarded.count(bytes),
            // A target that is down says so through the socket; the network would just be silent.
            Err(_) => count(&counters.failed),
        }
    }
}

impl Client {
    fn forget(&self) {
        if let Some(reader) = self.reader.get() {
            reader.abort();
        }
    }
}

/// Datagrams of all clients.
pub(crate) async fn take_in(forwarder: Arc<Forwarder>) {
    let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
    loop {
        let Ok((length, from)) = forwarder.socket.recv_from(&mut buffer).await else {
            tokio::task::yield_now().await;
            continue;
        };
        match forwarder.client(from).await {
            Ok(client) => {
                forwarder
                    .forward(Direction::Up, &client, &buffer[..length])
                    .await;
            }
            Err(_) => count(&forwarder.refused),
        }
    }
}

/// What the target sends back to one client.
async fn bring_back(forwarder: Arc<Forwarder>, client: Arc<Client>) {
    let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
    loop {
        match client.upstream.recv(&mut buffer).await {
            Ok(length) => {
                forwarder
                    .forward(Direction::Down, &client, &buffer[..length])
                    .await;
            }
            // The target refused an earlier datagram; it may be back for the next.
            Err(_) => tokio::task::yield_now().await,
        }
    }
}

/// Datagrams that are due later, in the order in which they are due.
pub(crate) async fn hand_out_later(forwarder: Arc<Forwarder>, mut waiting: mpsc::Receiver<Parcel>) {
    let mut heap: BinaryHeap<Reverse<Parcel>> = BinaryHeap::new();
    loop {
        let due = heap.peek().map(|Reverse(parcel)| parcel.due);
        // A full heap leaves the rest in the channel, which is bounded.
        let room = heap.len() < forwarder.options.waiting_max.max(1);
        tokio::select! {
            parcel = waiting.recv(), if room => match parcel {
                Some(parcel) => heap.push(Reverse(parcel)),
                None => return,
            },
            () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                let Some(Reverse(parcel)) = heap.pop() else { continue };
                if forwarder.drops(&parcel.client) {
                    count(&forwarder.counters(parcel.direction).stopped);
                } else {
                    forwarder
                        .hand_out(parcel.direction, &parcel.client, &parcel.bytes)
                        .await;
                }
            }
        }
    }
}

/// Closes the sockets of clients that have been silent both ways.
pub(crate) async fn forget_idle(forwarder: Arc<Forwarder>, idle: Duration) {
    let mut tick = tokio::time::interval((idle / 4).max(Duration::from_millis(1)));
    loop {
        tick.tick().await;
        lock(&forwarder.clients).retain(|_, client| {
            let silent = lock(&client.last_seen).elapsed() >= idle;
            if silent {
                client.forget();
            }
            !silent
        });
    }
}

fn open_socket(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::DGRAM,
        Some(Protocol::UDP),
    )?;
    // Cut where the system has a limit, and good enough then.
    let _ = socket.set_recv_buffer_size(SOCKET_BUFFER_BYTES);
    let _ = socket.set_send_buffer_size(SOCKET_BUFFER_BYTES);
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    UdpSocket::from_std(socket.into())
}

/// Every critical section here leaves its data whole, so a panic elsewhere does not matter.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
