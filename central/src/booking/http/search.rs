//! Search and completion: public.

use axum::Json;
use axum::extract::State;
use domain::passenger::PassengerClass;
use domain::time::ServiceDate;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::booking::search::{self, Call, Found, NoSearch, Offer, Place};
use crate::clock;
use crate::http::extract::{Asked, parsed};
use crate::http::{Api, Problem};
use crate::views::not_bookable;

/// The longest name of a place, in characters.
const PLACE_CHARS_MAX: usize = 100;
/// The most passengers of one search.
const PASSENGERS_MAX: usize = 10;
/// The most completions of one answer.
const COMPLETIONS_MAX: i64 = 50;
const COMPLETIONS: i64 = 10;

/// What to search for.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct SearchAsked {
    /// Where from: a place's name, accents and typing errors forgiven, or a stop's code.
    #[param(example = "Lusaka")]
    from: String,
    /// Where to.
    #[param(example = "Livingston")]
    to: String,
    /// The day of departure there, YYYY-MM-DD.
    #[param(example = "2026-12-01")]
    date: String,
    /// How many adults, or classes like `adult,adult,child`; 1 to 10 of them. One adult without
    /// it.
    #[param(example = "2")]
    passengers: Option<String>,
    /// Journeys with one change too; without it only where no bus goes all the way.
    changes: Option<bool>,
}

/// A stop that a text means.
#[derive(Debug, Serialize, ToSchema)]
pub struct PlaceView {
    /// Its code.
    #[schema(example = "LUN")]
    code: String,
    /// Its name.
    #[schema(example = "Lusaka Inter-City Bus Terminus")]
    name: String,
}

/// A bus from a place to a place.
#[derive(Debug, Serialize, ToSchema)]
pub struct DepartureView {
    /// The trip's number.
    trip: u64,
    /// Who runs it.
    company: String,
    /// The route, as on signs.
    route: String,
    /// Where the bus says it goes.
    headsign: String,
    /// Code of the stop to board at.
    #[schema(example = "LUN")]
    from_stop: String,
    /// Its name.
    from_name: String,
    /// Code of the stop to leave at.
    #[schema(example = "LVI")]
    to_stop: String,
    /// Its name.
    to_name: String,
    /// When it leaves, RFC 3339 UTC.
    departs_at: String,
    /// When it leaves, by the clock there.
    #[schema(example = "2026-12-01 06:00")]
    departs_local: String,
    /// When it comes in, RFC 3339 UTC.
    arrives_at: String,
    /// When it comes in, by the clock there.
    #[schema(example = "2026-12-01 13:30")]
    arrives_local: String,
    /// How long it takes.
    #[schema(example = 450)]
    duration_min: i64,
    /// How late it is known to be.
    delay_min: i64,
    /// `scheduled`, `boarding` or `departed`.
    #[schema(example = "scheduled")]
    state: String,
    /// Seats that are free all the way; 0 while it is not sold.
    #[schema(example = 31)]
    seats_left: i64,
    /// Why it is not sold online at the moment; absent where it is. `trip-frozen`: the booking
    /// system was restored and waits until stations and buses have told which seats they hold.
    /// Ask again later; stations sell from their own meanwhile.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "trip-frozen")]
    not_bookable: Option<&'static str>,
    /// What all passengers pay, in minor units; absent where no such ticket is sold.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = 35000)]
    price_minor: Option<i64>,
    /// ISO 4217.
    #[schema(example = "ZMW")]
    currency: String,
}

/// Two buses with a change.
#[derive(Debug, Serialize, ToSchema)]
pub struct ConnectionView {
    /// Code of the stop where one changes.
    #[schema(example = "KAB")]
    change_at: String,
    /// How long one waits there.
    #[schema(example = 40)]
    wait_min: i64,
    /// From the first departure to the last arrival.
    duration_min: i64,
    /// The fewer of the two buses' seats.
    seats_left: i64,
    /// Why one of the buses is not sold online at the moment; absent where both are.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "trip-frozen")]
    not_bookable: Option<&'static str>,
    /// What all passengers pay for both, in minor units.
    #[serde(skip_serializing_if = "Option::is_none")]
    price_minor: Option<i64>,
    /// The first bus and the second.
    rides: Vec<DepartureView>,
}

/// What was found.
#[derive(Debug, Serialize, ToSchema)]
pub struct SearchView {
    /// The stops that `from` was taken for.
    from: Vec<PlaceView>,
    /// The stops that `to` was taken for.
    to: Vec<PlaceView>,
    /// Buses that go all the way, by departure; at most 100.
    departures: Vec<DepartureView>,
    /// Journeys with one change, by departure; at most 10.
    connections: Vec<ConnectionView>,
}

fn passengers(text: Option<&str>) -> Result<Vec<PassengerClass>, Problem> {
    let wrong = || {
        Problem::bad_request(format!(
            "`passengers` is a number from 1 to {PASSENGERS_MAX}, or as many of adult, child, \
             infant, prm with commas between"
        ))
    };
    let Some(text) = text else {
        return Ok(vec![PassengerClass::Adult]);
    };
    if text.len() > 100 {
        return Err(wrong());
    }
    let classes = if let Ok(count) = text.parse::<usize>() {
        vec![PassengerClass::Adult; count.min(PASSENGERS_MAX + 1)]
    } else {
        let classes: Result<Vec<PassengerClass>, _> = text.split(',').map(str::parse).collect();
        classes.map_err(|_| wrong())?
    };
    if classes.is_empty() || classes.len() > PASSENGERS_MAX {
        return Err(wrong());
    }
    Ok(classes)
}

fn place_text(what: &str, text: &str) -> Result<String, Problem> {
    let trimmed = text.trim();
    let fits = !trimmed.is_empty() && trimmed.chars().count() <= PLACE_CHARS_MAX;
    if !fits || trimmed.chars().any(char::is_control) {
        let detail = format!("`{what}` is a place of 1 to {PLACE_CHARS_MAX} characters");
        return Err(Problem::bad_request(detail));
    }
    Ok(trimmed.to_owned())
}

/// Buses from a place to a place on a day, of all companies, with prices and seats left; journeys
/// with a change where no bus goes all the way.
#[utoipa::path(get, path = "/search", tag = "trips", params(SearchAsked), security(()),
    responses((status = 200, body = SearchView), (status = 400, body = Problem),
        (status = 404, body = Problem, description = "`unknown-place`"),
        (status = "default", body = Problem)))]
pub async fn find(
    State(api): State<Api>,
    Asked(asked): Asked<SearchAsked>,
) -> Result<Json<SearchView>, Problem> {
    let date: Option<ServiceDate> = parsed(Some(&asked.date))?;
    let asked = search::Asked {
        from: place_text("from", &asked.from)?,
        to: place_text("to", &asked.to)?,
        date: date.ok_or_else(|| Problem::bad_request("`date` is missing"))?,
        passengers: passengers(asked.passengers.as_deref())?,
        changes: asked.changes.unwrap_or(false),
    };
    match search::search(&api, &asked, clock::now()).await? {
        Ok(found) => Ok(Json(view(found))),
        Err(NoSearch::UnknownPlace(text)) => Err(Problem::new(
            axum::http::StatusCode::NOT_FOUND,
            "unknown-place",
            "Unknown place",
            format!("no stop is called anything like {text:?}: try /places"),
        )
        .with("place", text)),
    }
}

/// What to complete.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PlacesAsked {
    /// The beginning of a name or a code, or something like it.
    #[param(example = "lus")]
    q: String,
    /// At most so many, up to 50.
    limit: Option<i64>,
}

/// Places, the likeliest first.
#[derive(Debug, Serialize, ToSchema)]
pub struct PlacesView {
    /// The places.
    items: Vec<PlaceView>,
}

/// Places that something typed may become.
#[utoipa::path(get, path = "/places", tag = "trips", params(PlacesAsked), security(()),
    responses((status = 200, body = PlacesView), (status = 400, body = Problem),
        (status = "default", body = Problem)))]
pub async fn places(
    State(api): State<Api>,
    Asked(asked): Asked<PlacesAsked>,
) -> Result<Json<PlacesView>, Problem> {
    let text = place_text("q", &asked.q)?;
    let most = asked.limit.unwrap_or(COMPLETIONS);
    let most = most.clamp(1, COMPLETIONS_MAX);
    let found = search::completions(&api.db, &text, most).await?;
    Ok(Json(PlacesView {
        items: found.into_iter().map(place).collect(),
    }))
}

fn place(p: Place) -> PlaceView {
    PlaceView {
        code: p.code,
        name: p.name,
    }
}

fn minutes(from: &Call, to: &Call) -> i64 {
    (to.at.0 - from.at.0).div_euclid(60_000)
}

fn view(found: Found) -> SearchView {
    let names: std::collections::BTreeMap<String, String> = found
        .from
        .iter()
        .chain(&found.to)
        .map(|p| (p.code.clone(), p.name.clone()))
        .collect();
    let name = |code: &str| names.get(code).cloned().unwrap_or_else(|| code.to_owned());
    let ride = |offer: &Offer| {
        let r = &offer.ride;
        DepartureView {
            trip: r.trip.0,
            company: offer.company.clone(),
            route: r.route.clone(),
            headsign: r.headsign.clone(),
            from_name: name(&r.from.code.0),
            from_stop: r.from.code.0.clone(),
            to_name: name(&r.to.code.0),
            to_stop: r.to.code.0.clone(),
            departs_at: r.from.at.to_string(),
            departs_local: r.from.at.local_minute(&r.from.zone),
            arrives_at: r.to.at.to_string(),
            arrives_local: r.to.at.local_minute(&r.to.zone),
            duration_min: minutes(&r.from, &r.to),
            delay_min: r.delay_ms / 60_000,
            state: r.state.clone(),
            seats_left: offer.seats_left,
            not_bookable: not_bookable(r.frozen),
            price_minor: offer.price.map(|p| p.0),
            currency: r.currency.to_string(),
        }
    };
    SearchView {
        departures: found.departures.iter().map(ride).collect(),
        connections: found
            .connections
            .iter()
            .map(|[first, second]| ConnectionView {
                change_at: first.ride.to.code.0.clone(),
                wait_min: minutes(&first.ride.to, &second.ride.from),
                duration_min: minutes(&first.ride.from, &second.ride.to),
                seats_left: first.seats_left.min(second.seats_left),
                not_bookable: not_bookable(first.ride.frozen || second.ride.frozen),
                price_minor: first.price.zip(second.price).map(|(a, b)| a.0 + b.0),
                rides: vec![ride(first), ride(second)],
            })
            .collect(),
        from: found.from.into_iter().map(place).collect(),
        to: found.to.into_iter().map(place).collect(),
    }
}
