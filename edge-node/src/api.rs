//! The local API's JSON: what a screen, the command line and the driver's console say to a node.
//!
//! Each function takes a request and an engine and is synchronous; HTTP and the command line call
//! the same ones.

mod problem;
mod request;
mod response;

pub use problem::Problem;
pub use request::{
    CloseShift, ExplainRequest, JourneyRequest, LeaseWish, OpenShift, PassengerRequest,
    ScanRequest, Sell, Surrender, TenderRequest, VoidTicket, WantRequest,
};
pub use response::{
    Explained, LeaseAnswered, LeaseJson, LinkJson, Sale, Scanned, ShiftClosed, ShiftJson,
    ShiftOpened, StatusJson, StopJson, Surrendered, TicketJson, TicketLine, TripJson, Voided,
};

use domain::counter::{JourneyWish, PassengerWish, SellCommand};
use domain::event::{TenderKind, TenderLine, VoidReason};
use domain::ids::{CommandId, RequestId, StopCode, StopSeq, TicketId, TripId};
use domain::lease::{LeaseRequest, SeatWant};
use domain::money::Minor;
use domain::passenger::PassengerClass;
use domain::time::Instant;

use crate::engine::{Command, Engine, EngineError, NoEffects, Outcome, Personal, SellOrder};
use crate::store::WishState;

/// The most tickets that one listing gives.
pub const TICKETS_MAX: usize = 1_000;

fn parsed<T: core::str::FromStr>(text: &str, field: &str) -> Result<T, Problem>
where
    T::Err: core::fmt::Display,
{
    text.parse()
        .map_err(|e: T::Err| Problem::bad_request(&format!("{field}: {e}")))
}

fn unexpected() -> Problem {
    Problem::new(
        500,
        "unexpected_outcome",
        "the command led to something else: call the office",
    )
}

fn run(
    engine: &mut Engine,
    command_id: &str,
    command: Command,
    now: Instant,
) -> Result<Outcome, Problem> {
    let id: CommandId = parsed(command_id, "command_id")?;
    Ok(engine.execute(id, command, now, &mut NoEffects)?)
}

/// Opens a shift.
pub fn open_shift(
    engine: &mut Engine,
    request: OpenShift,
    now: Instant,
) -> Result<ShiftOpened, Problem> {
    let command = Command::OpenShift {
        agent: request.agent,
        float_minor: Minor(request.float_minor),
        currency: parsed(&request.currency, "currency")?,
    };
    let Outcome::ShiftOpened(shift) = run(engine, &request.command_id, command, now)? else {
        return Err(unexpected());
    };
    Ok(ShiftOpened { shift: shift.0 })
}

/// Closes the open shift.
pub fn close_shift(
    engine: &mut Engine,
    request: CloseShift,
    now: Instant,
) -> Result<ShiftClosed, Problem> {
    let command = Command::CloseShift {
        declared_minor: Minor(request.declared_minor),
    };
    let Outcome::ShiftClosed(report) = run(engine, &request.command_id, command, now)? else {
        return Err(unexpected());
    };
    Ok(report.into())
}

fn order_of(request: Sell) -> Result<(String, SellOrder), Problem> {
    let mut names = vec![];
    let mut journeys = Vec::with_capacity(request.journeys.len());
    for journey in request.journeys {
        let mut passengers = Vec::with_capacity(journey.passengers.len());
        for passenger in journey.passengers {
            passengers.push(PassengerWish {
                class: parsed::<PassengerClass>(&passenger.class, "class")?,
                seat: passenger.seat,
            });
            names.push(passenger.name);
        }
        journeys.push(JourneyWish {
            trip: TripId(journey.trip),
            from: parsed::<StopCode>(&journey.from, "from")?,
            to: parsed::<StopCode>(&journey.to, "to")?,
            passengers,
        });
    }
    let tender = request
        .tender
        .iter()
        .map(|line| {
            Ok(TenderLine {
                kind: tender_kind(&line.kind)?,
                amount_minor: Minor(line.amount_minor),
            })
        })
        .collect::<Result<Vec<_>, Problem>>()?;
    let order = SellOrder {
        sell: SellCommand {
            journeys,
            tender,
            test: request.test,
        },
        personal: Personal {
            phone: request.phone,
            names,
        },
    };
    Ok((request.command_id, order))
}

fn tender_kind(name: &str) -> Result<TenderKind, Problem> {
    match name {
        "cash" => Ok(TenderKind::Cash),
        "mobile_money" => Ok(TenderKind::MobileMoney),
        "card" => Ok(TenderKind::Card),
        other => Err(Problem::bad_request(&format!(
            "tender kind: {other:?} is none of cash, mobile_money, card"
        ))),
    }
}

/// Sells.
pub fn sell(engine: &mut Engine, request: Sell, now: Instant) -> Result<Sale, Problem> {
    let (command_id, order) = order_of(request)?;
    let Outcome::Sold(receipt) = run(engine, &command_id, Command::Sell(order), now)? else {
        return Err(unexpected());
    };
    Ok(receipt.into())
}

/// Takes a ticket back.
pub fn void(engine: &mut Engine, request: VoidTicket, now: Instant) -> Result<Voided, Problem> {
    let reason = match request.reason.as_deref() {
        None | Some("mistake") => VoidReason::Mistake,
        Some("passenger_request") => VoidReason::PassengerRequest,
        Some("print_failed") => VoidReason::PrintFailed,
        Some(other) => {
            return Err(Problem::bad_request(&format!(
                "reason: {other:?} is none of mistake, passenger_request, print_failed"
            )));
        }
    };
    let ticket = parsed(&request.ticket, "ticket")?;
    let command = Command::Void { ticket, reason };
    let Outcome::Voided {
        ticket, fare_minor, ..
    } = run(engine, &request.command_id, command, now)?
    else {
        return Err(unexpected());
    };
    Ok(Voided {
        ticket: ticket.to_string(),
        fare_minor: fare_minor.0,
    })
}

/// The trip to validate: the one named, or the one that is boarding.
pub fn boarding_trip(engine: &Engine, named: Option<u64>) -> Result<TripId, Problem> {
    if let Some(trip) = named.map(TripId).or_else(|| engine.boarding()) {
        return Ok(trip);
    }
    if engine.validated_trips().next().is_none() {
        return Err(Problem::new(
            409,
            "no_manifest",
            "this device has no trip's manifest yet: connect it once",
        ));
    }
    Err(Problem::new(
        409,
        "which_trip",
        "this device validates several trips: name the one that is boarding",
    ))
}

/// Explains a code as this device sees it, recording nothing.
pub fn explain(
    engine: &mut Engine,
    request: ExplainRequest,
    now: Instant,
) -> Result<Explained, Problem> {
    let trip = boarding_trip(engine, request.trip)?;
    let told = engine.explain(trip, &request.text, now)?;
    Ok(Explained {
        trip: trip.0,
        answer: told.decision.answer.as_str().to_owned(),
        lets_on: told.decision.answer.lets_on(),
        reason: told.decision.reason.to_string(),
        issuer: told.decision.issuer.map(|issuer| issuer.to_string()),
        findings: told.findings,
    })
}

/// Judges a scanned code.
pub fn scan(engine: &mut Engine, request: ScanRequest, now: Instant) -> Result<Scanned, Problem> {
    let trip = boarding_trip(engine, request.trip)?;
    let command = Command::Scan {
        trip,
        text: request.text,
    };
    let Outcome::Scanned(outcome) = run(engine, &request.command_id, command, now)? else {
        return Err(unexpected());
    };
    Ok(outcome.into())
}

/// Gives a lease back.
pub fn surrender(
    engine: &mut Engine,
    request: Surrender,
    now: Instant,
) -> Result<Surrendered, Problem> {
    let command = Command::Surrender {
        trip: TripId(request.trip),
        lease_no: domain::ids::LeaseNo(request.lease_no),
    };
    let Outcome::Surrendered { trip, lease_no } = run(engine, &request.command_id, command, now)?
    else {
        return Err(unexpected());
    };
    Ok(Surrendered {
        trip: trip.0,
        lease_no: lease_no.0,
    })
}

/// Asks the hub for seats; the request is kept until it is answered. Its id is the command's.
pub fn request_lease(
    engine: &mut Engine,
    request: LeaseWish,
    now: Instant,
) -> Result<RequestId, Problem> {
    let id: CommandId = parsed(&request.command_id, "command_id")?;
    let trip_id = TripId(request.trip);
    let trip = engine
        .catalogue()
        .trips
        .get(&trip_id)
        .ok_or(EngineError::Refused(domain::counter::Refusal::UnknownTrip(
            trip_id,
        )))?;
    let seq = |code: &str| -> Result<StopSeq, Problem> {
        let stop: StopCode = parsed(code, "stop")?;
        trip.seq_of(&stop).ok_or_else(|| {
            Problem::new(
                422,
                "bad_stops",
                &format!("trip {trip_id} does not call at {code}"),
            )
        })
    };
    let wants = request
        .wants
        .iter()
        .map(|want| {
            Ok(SeatWant {
                to: seq(&want.to)?,
                count: want.count,
            })
        })
        .collect::<Result<Vec<_>, Problem>>()?;
    let wish = LeaseRequest {
        request: RequestId(id.0),
        trip: trip_id,
        boarding: seq(&request.boarding)?,
        wants,
    };
    engine.wish(&wish, now)?;
    Ok(wish.request)
}

/// Where a lease request stands.
pub fn lease_state(engine: &Engine, request: RequestId) -> Result<LeaseAnswered, Problem> {
    let wish = engine
        .wish_state(request)
        .ok_or_else(|| Problem::new(404, "unknown_request", "this device made no such request"))?;
    let mut answer = LeaseAnswered {
        request: request.to_string(),
        state: "waiting".to_owned(),
        trip: wish.request.trip.0,
        lease_no: None,
        seats: None,
        why: None,
    };
    match &wish.state {
        WishState::Waiting => {}
        WishState::Granted(no) => {
            "granted".clone_into(&mut answer.state);
            answer.lease_no = Some(no.0);
            let grant = engine.state().grant(wish.request.trip, *no);
            answer.seats = grant.map(|g| g.claims.len());
        }
        WishState::Refused(why) => {
            "refused".clone_into(&mut answer.state);
            answer.why = Some(why.clone());
        }
    }
    Ok(answer)
}

/// What the node says of itself; the runtime adds the link.
pub fn status(engine: &Engine) -> StatusJson {
    StatusJson::new(engine)
}

/// The trips that have not ended.
pub fn trips(engine: &Engine, now: Instant) -> Vec<TripJson> {
    let trips = engine.trips(now);
    trips.iter().map(|t| TripJson::new(t, engine)).collect()
}

/// One ticket that this node sold.
pub fn ticket(engine: &Engine, id: &str) -> Result<TicketJson, Problem> {
    let id: TicketId = parsed(id, "ticket")?;
    let ticket = engine.ticket(id)?;
    ticket
        .map(TicketJson::from)
        .ok_or_else(|| EngineError::Refused(domain::counter::Refusal::UnknownTicket).into())
}

/// The tickets that this node sold, the newest first, at most [`TICKETS_MAX`].
pub fn tickets(engine: &Engine) -> Vec<TicketLine> {
    let sold = engine.state().tickets();
    sold.iter()
        .rev()
        .take(TICKETS_MAX)
        .map(|(id, ticket)| TicketLine::new(*id, ticket, engine))
        .collect()
}
