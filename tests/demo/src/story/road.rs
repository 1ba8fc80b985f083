//! The bus to Livingstone on its way, as somebody sees it who has the link.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::opening::local;
use crate::http::{list, number, text};
use crate::stream::{Listener, News};
use crate::voice::Who;
use crate::world::World;

/// How long the bus may take to be seen, and to move as far as the story wants.
const SEEN_DEADLINE: Duration = Duration::from_mins(1);
/// How far it has to move while it is followed, in metres.
const MOVES_M: i64 = 300;

/// The office makes a link; somebody with it listens at the second process, while the bus tells
/// the first where it is.
pub fn follow(world: &mut World) -> Result<()> {
    world.voice.chapter("Where is the bus to Livingstone?");
    let trip = world.other_trip.id;
    let key = world.dice.uuid().to_string();
    let wish = json!({ "trip": trip });
    let link = world.hub.order(&key, "/tracking/links", &wish)?;
    let token = text(&link, "token")?;
    let path = format!("/trips/{trip}/positions?link={token}");
    let second = world.second.as_ref().context("there is a second process")?;
    let seen = world
        .patience
        .until("the bus to be seen", SEEN_DEADLINE, || {
            let seen = second.look(&path)?;
            let first = seen["position"].is_object();
            Ok(if first {
                Ok(seen)
            } else {
                Err(seen.to_string())
            })
        })?;
    world.voice.tell(
        Who::Hub,
        "makes a link for whoever waits in Livingstone; nothing on it says who drives",
    );
    let stream = format!("/trips/{trip}/positions/stream?link={token}");
    let bases = vec![second.url(), world.hub.url()];
    world.listener = Some(Listener::open(bases, stream));
    world.follow_path = Some(path);
    tell(world, &seen)?;
    world
        .voice
        .aside("asked at the second process; the bus tells the first where it is");
    Ok(())
}

/// The stream shows the bus move, also after the process ended that it came from.
pub fn arrives(world: &mut World) -> Result<()> {
    world.voice.chapter("The bus moves");
    let listener = world.listener.take().context("somebody listens")?;
    let patience = world.patience.clone();
    let (mut opened, mut over) = (vec![], 0);
    let mut followed = world.tally.bus_followed.clone();
    let first = world.hub.url();
    let newest = patience.until("the bus to move", SEEN_DEADLINE, || {
        let mut newest = None;
        for news in listener.news() {
            match news {
                News::Opened(base) => opened.push(base),
                News::Over => over += 1,
                News::Refused(why) => bail!("the stream was refused: {why}"),
                News::Position(position) => {
                    followed.note(&position)?;
                    newest = Some(position);
                }
            }
        }
        let went_on = opened.contains(&first);
        Ok(match newest {
            Some(newest) if went_on && followed.moved_m() >= MOVES_M && newest["next"] != 0 => {
                Ok(newest)
            }
            Some(_) | None => Err(format!("{followed:?}, {over} streams over")),
        })
    })?;
    tell(world, &newest)?;
    let [from_m, to_m] = [followed.from_m, followed.to_m];
    world.voice.tell(
        Who::Customer,
        &format!(
            "has seen it move {} m, from {from_m} to {to_m} m, in {} positions",
            followed.moved_m(),
            followed.positions
        ),
    );
    world.voice.aside(&format!(
        "none older than {} ms; the stream broke off with the second process and went on at the \
         first",
        followed.age_ms_max
    ));
    world.tally.bus_followed = followed;
    Ok(())
}

/// One position, for people.
fn tell(world: &World, position: &Value) -> Result<()> {
    let km = |m: i64| format!("{:.1}", m as f64 / 1_000.0);
    let place = number(position, "next")?;
    let ahead = list(position, "stops")?.iter();
    let next = ahead.into_iter().find(|s| s["place"] == place);
    let next = next.map_or(Ok(String::new()), |stop| {
        let name = text(stop, "name")?;
        let by = stop["expected_at"].as_str().unwrap_or_default();
        let by = by.parse::<Timestamp>().ok();
        let by = by.map(local).transpose()?;
        anyhow::Ok(format!(", {name} {}", by.unwrap_or_default()))
    })?;
    let kmh = position["position"]["speed_kmh"].as_f64().unwrap_or(0.0);
    world.voice.tell(
        Who::Coach,
        &format!(
            "{} of {} km, {kmh:.0} km/h{next}; a position {} ms old",
            km(number(position, "along_m")?),
            km(number(position, "length_m")?),
            position["age_ms"].as_i64().unwrap_or(0)
        ),
    );
    Ok(())
}
