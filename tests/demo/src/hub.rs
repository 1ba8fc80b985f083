//! The central office: the `mwimule-hub` program, its command line and its HTTP API.

mod cli;

pub use cli::{Cli, Serving};

use std::net::{TcpListener, UdpSocket};
use std::process::ExitStatus;

use anyhow::{Context as _, Result};
use domain::ticket::parse_qr;
use serde_json::{Value, json};

use crate::children::Child;
use crate::http::{Answer, Caller, list, number, text};
use crate::operators::Moved;
use crate::people::Party;
use crate::report::{KeyLine, TicketLine};

/// How many rows one page of a list has.
const PAGE_ROWS: usize = 500;
/// Any version: nobody else changes things in the demo.
const ANY_VERSION: (&str, &str) = ("if-match", "*");

/// The company of the story.
pub const COMPANY: &str = "Mwimule Coaches";

/// The running hub.
#[derive(Debug)]
pub struct Hub {
    child: Child,
    /// The office's view, with its bearer token.
    office: Caller,
    /// What everybody may see.
    public: Caller,
    /// Its database.
    pub postgres_url: String,
    token: String,
    cli: Cli,
}

/// A trip as the hub lists it.
#[derive(Debug, Clone)]
pub struct Trip {
    /// Its number.
    pub id: i64,
    /// When it leaves its first stop, RFC 3339 UTC.
    pub departs_at: String,
    /// Codes of its stops, in order.
    pub stops: Vec<String>,
}

/// A booking that a customer got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Booking {
    /// What the customer is told.
    pub reference: String,
    /// `awaiting_payment`, `confirmed` or another word.
    pub state: String,
    /// Numbers and QR texts of its tickets.
    pub tickets: Vec<(String, String)>,
    /// In minor units.
    pub total_minor: i64,
    /// What is painted on its seats.
    pub labels: Vec<String>,
}

/// A seat of a trip, as the hub knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seat {
    /// Its number.
    pub number: i64,
    /// What is painted on it.
    pub label: String,
    /// The first stretch of it that is for sale: from a stop to a stop, counted from 0.
    pub free: Option<(usize, usize)>,
}

/// A UDP address that nobody uses: the relay must know the hub's before the hub runs.
pub fn free_udp_address() -> Result<String> {
    let socket = UdpSocket::bind("127.0.0.1:0").context("no UDP port is free")?;
    Ok(socket.local_addr()?.to_string())
}

/// A TCP address that nobody uses: the operators must know the hub's before the hub runs.
pub fn free_tcp_address() -> Result<String> {
    let socket = TcpListener::bind("127.0.0.1:0").context("no TCP port is free")?;
    Ok(socket.local_addr()?.to_string())
}

impl Hub {
    /// Where its page is.
    pub fn url(&self) -> String {
        self.public.base().to_owned()
    }

    /// Its command line.
    pub fn cli(&self) -> &Cli {
        &self.cli
    }

    /// Asks it to end in its own time: it drains first.
    pub fn ask_to_end(&mut self) -> Result<()> {
        self.child.ask_to_end()
    }

    /// How it ended, if it did.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        self.child.ended()
    }

    /// What everybody may see, for a caller of its own.
    pub fn public(&self) -> Caller {
        self.public.clone()
    }

    /// The office does something; the same `key` does it once.
    pub fn order(&self, key: &str, path: &str, body: &Value) -> Result<Value> {
        let headers = [("idempotency-key", key), ANY_VERSION];
        self.office
            .post(path, &headers, body)
            .and_then(|answer| answer.good("POST", path))
            .map_err(|error| self.child.blame(error))
    }

    /// The office puts something in place of what is there.
    pub fn put(&self, path: &str, body: &Value) -> Result<Value> {
        self.office
            .put(path, &[ANY_VERSION], body)
            .and_then(|answer| answer.good("PUT", path))
            .map_err(|error| self.child.blame(error))
    }

    /// The seats of a trip, by number.
    pub fn seats(&self, trip: i64) -> Result<Vec<Seat>> {
        let map = self.fetch(&format!("/trips/{trip}/seats"))?;
        let seat = |seat: &Value| {
            let runs = list(seat, "runs")?.iter();
            let mut free = runs.filter(|run| run["state"] == "free").map(|run| {
                let stop = |end| anyhow::Ok(usize::try_from(number(run, end)?)?);
                anyhow::Ok((stop("from")?, stop("to")?))
            });
            Ok(Seat {
                number: number(seat, "seat")?,
                label: text(seat, "label")?,
                free: free.next().transpose()?,
            })
        };
        list(&map, "seats")?.iter().map(seat).collect()
    }

    /// GET as the office.
    pub fn fetch(&self, path: &str) -> Result<Value> {
        self.office
            .fetch(path)
            .map_err(|error| self.child.blame(error))
    }

    /// Every row of a paged list.
    pub fn rows(&self, path: &str) -> Result<Vec<Value>> {
        let glue = if path.contains('?') { '&' } else { '?' };
        let mut rows = vec![];
        let mut after = String::new();
        loop {
            let page = self.fetch(&format!("{path}{glue}limit={PAGE_ROWS}{after}"))?;
            rows.extend(list(&page, "items")?.iter().cloned());
            match page["next"].as_str() {
                Some(next) => after = format!("&after={next}"),
                None => return Ok(rows),
            }
        }
    }

    /// The trips of a day between two stops, by departure.
    pub fn trips(&self, date: &str, from: &str, to: &str) -> Result<Vec<Trip>> {
        let rows = self.rows(&format!("/trips?date={date}&from={from}&to={to}"))?;
        rows.iter()
            .map(|row| {
                let stops = list(row, "stops")?;
                let first = stops.first().context("a trip has stops")?;
                Ok(Trip {
                    id: number(row, "trip")?,
                    departs_at: text(first, "departs_at")?,
                    stops: stops
                        .iter()
                        .map(|s| text(s, "code"))
                        .collect::<Result<_>>()?,
                })
            })
            .collect()
    }

    /// The tickets of a trip, as the hub knows them.
    pub fn tickets(&self, trip: i64) -> Result<Vec<TicketLine>> {
        self.rows(&format!("/tickets?trip={trip}"))?
            .iter()
            .map(|row| {
                let qr = text(row, "qr")?;
                Ok(TicketLine {
                    seat: printed_seat(&qr)?,
                    qr,
                    code: row["code"].as_str().map(str::to_owned),
                    trip: number(row, "trip")?,
                    seat_today: number(row, "seat")?,
                    from: number(row, "from")?,
                    to: number(row, "to")?,
                    issuer: text(row, "issuer")?,
                    state: text(row, "state")?,
                })
            })
            .collect()
    }

    /// Seat-legs of some trips that are in the hub's own pool.
    pub fn free_seat_legs(&self, trips: &[i64]) -> Result<i64> {
        let mut free = 0;
        for trip in trips {
            let map = self.fetch(&format!("/trips/{trip}/seats"))?;
            for seat in list(&map, "seats")? {
                for run in list(seat, "runs")?
                    .iter()
                    .filter(|run| run["state"] == "free")
                {
                    free += number(run, "to")? - number(run, "from")?;
                }
            }
        }
        Ok(free)
    }

    /// The public keys that tickets verify with.
    pub fn keys(&self) -> Result<Vec<KeyLine>> {
        let answer = self.fetch("/keys")?;
        let keys = answer.as_array().context("the keys are no list")?;
        keys.iter()
            .map(|key| {
                Ok(KeyLine {
                    kid: text(key, "kid")?,
                    alg: text(key, "alg")?,
                    public_key: text(key, "public_key")?,
                })
            })
            .collect()
    }

    /// Somebody books at the office and pays in cash; the same `key` is the same booking.
    pub fn book_for_cash(
        &self,
        key: &str,
        trip: i64,
        journey: (&str, &str),
        party: &Party,
    ) -> Result<Answer> {
        let mut body = booking_asked(trip, journey, party, &[]);
        body["pay"] = json!("cash");
        self.office
            .post("/bookings", &[("idempotency-key", key)], &body)
            .map_err(|error| self.child.blame(error))
    }

    /// Whoever it is does something at the hub, as everybody may; the same `key` does it once.
    pub fn post(&self, key: &str, path: &str, body: &Value) -> Result<Value> {
        self.public
            .post(path, &[("idempotency-key", key)], body)
            .and_then(|answer| answer.good("POST", path))
            .map_err(|error| self.child.blame(error))
    }

    /// GET as everybody may.
    pub fn look(&self, path: &str) -> Result<Value> {
        self.public
            .fetch(path)
            .map_err(|error| self.child.blame(error))
    }

    /// A customer books at home, to be paid; the same `key` is the same booking.
    pub fn book(
        &self,
        key: &str,
        trip: i64,
        journey: (&str, &str),
        party: &Party,
    ) -> Result<Booking> {
        self.book_seats(key, trip, journey, party, &[])
    }

    /// The same with chosen seats, by number, for the first of them.
    pub fn book_seats(
        &self,
        key: &str,
        trip: i64,
        journey: (&str, &str),
        party: &Party,
        seats: &[i64],
    ) -> Result<Booking> {
        let body = booking_asked(trip, journey, party, seats);
        Booking::of(&self.post(key, "/bookings", &body)?)
    }

    /// What moved over the clearing accounts of the operators, by the ledger.
    pub fn cleared(&self) -> Result<Moved> {
        let mut moved = Moved::default();
        for kind in ["mobile_money_clearing", "card_clearing"] {
            for account in self.rows(&format!("/ledger/accounts?kind={kind}"))? {
                let account = number(&account, "account")?;
                for line in self.rows(&format!("/ledger/accounts/{account}/postings"))? {
                    let amount = number(&line, "amount_minor")?;
                    moved.net_minor += amount;
                    moved.captures += usize::from(amount > 0);
                    moved.refunds += usize::from(amount < 0);
                }
            }
        }
        Ok(moved)
    }

    /// Stops the program; false if it had to be forced.
    pub fn stop(&mut self) -> bool {
        self.child.stop()
    }

    /// Fails if the program ended by itself.
    pub fn check(&mut self) -> Result<()> {
        self.child.check().map_err(|error| self.child.blame(error))
    }
}

fn booking_asked(trip: i64, (from, to): (&str, &str), party: &Party, seats: &[i64]) -> Value {
    let passengers: Vec<Value> = party
        .passengers
        .iter()
        .enumerate()
        .map(|(i, p)| match seats.get(i) {
            Some(seat) => json!({"class": p.class, "seat": seat}),
            None => json!(p.class),
        })
        .collect();
    let name = &party.passengers[0].name;
    json!({
        "trip": trip, "from": from, "to": to, "passengers": passengers,
        "contact": {"name": name, "phone": party.phone, "email": party.email},
    })
}

/// The seat that a ticket's code names.
fn printed_seat(qr: &str) -> Result<i64> {
    let signed = parse_qr(qr).context("the hub has a ticket whose code cannot be read")?;
    Ok(i64::from(signed.claim.seat.0))
}

impl Booking {
    /// What a good answer says.
    pub fn of(answer: &Value) -> Result<Self> {
        Ok(Self {
            reference: text(answer, "reference")?,
            state: text(answer, "state")?,
            tickets: list(answer, "tickets")?
                .iter()
                .map(|t| Ok((text(t, "ticket")?, text(t, "qr")?)))
                .collect::<Result<_>>()?,
            total_minor: number(answer, "total_minor")?,
            labels: list(answer, "seats")?
                .iter()
                .map(|s| text(s, "seat_label"))
                .collect::<Result<_>>()?,
        })
    }
}
