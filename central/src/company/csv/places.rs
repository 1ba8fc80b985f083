//! Stops, stations and the fleet.

use crate::company::records::RecordList;
use crate::company::{Bus, BusState, Station, Stop};
use crate::csvio::{Column, Fault, Fields, word};

const DEGREES: &str = "write degrees with a point, like -15.419";

pub(super) fn optional<T: ToString>(value: Option<&T>) -> String {
    value.map(T::to_string).unwrap_or_default()
}

pub(super) struct StopList;

impl RecordList for StopList {
    type Row = Stop;
    const NAME: &'static str = "stops";
    const COLUMNS: &'static [Column] = &[
        Column::needed("code", "1 to 64 characters; never changes"),
        Column::needed("name", "for people, up to 120 characters"),
        Column::optional("lat", "degrees north, like -15.419"),
        Column::optional("lon", "degrees east, like 28.279"),
        Column::optional("fare_zone", "the stop's own code when empty"),
        Column::needed("zone", "time zone, like Africa/Lusaka"),
    ];

    fn cells(s: Stop) -> Vec<String> {
        let (lat, lon) = (optional(s.lat.as_ref()), optional(s.lon.as_ref()));
        vec![s.code, s.name, lat, lon, s.fare_zone, s.zone]
    }

    fn parse(fields: &Fields<'_>) -> Result<Stop, Fault> {
        Ok(Stop {
            code: fields.needed("code")?.to_owned(),
            name: fields.needed("name")?.to_owned(),
            lat: fields.optional("lat", DEGREES)?,
            lon: fields.optional("lon", DEGREES)?,
            fare_zone: fields.text("fare_zone").to_owned(),
            zone: fields.needed("zone")?.to_owned(),
        })
    }
}

pub(super) struct StationList;

impl RecordList for StationList {
    type Row = Station;
    const NAME: &'static str = "stations";
    const COLUMNS: &'static [Column] = &[
        Column::needed("code", "1 to 64 characters; never changes"),
        Column::needed("name", "for people, up to 120 characters"),
        Column::needed("stop", "code of the stop where its passengers board"),
        Column::optional("address", "up to 300 characters"),
        Column::optional("phone", "with the country's code, like +260970000001"),
        Column::optional(
            "opening_hours",
            "like Mo-Fr 06:00-20:00; Sa,Su 07:00-13:00, or 24/7",
        ),
    ];

    fn cells(s: Station) -> Vec<String> {
        vec![s.code, s.name, s.stop, s.address, s.phone, s.opening_hours]
    }

    fn parse(fields: &Fields<'_>) -> Result<Station, Fault> {
        Ok(Station {
            code: fields.needed("code")?.to_owned(),
            name: fields.needed("name")?.to_owned(),
            stop: fields.needed("stop")?.to_owned(),
            address: fields.text("address").to_owned(),
            phone: fields.text("phone").to_owned(),
            opening_hours: fields.text("opening_hours").to_owned(),
        })
    }
}

pub(super) struct BusList;

impl RecordList for BusList {
    type Row = Bus;
    const NAME: &'static str = "buses";
    const COLUMNS: &'static [Column] = &[
        Column::needed("registration", "as on the plate; never changes"),
        Column::needed("layout", "id of its seat layout"),
        Column::optional("year", "when it was built"),
        Column::optional("state", "in_service (when empty), workshop or retired"),
        Column::optional("wheelchair_lift", "yes or no (when empty)"),
    ];

    fn cells(b: Bus) -> Vec<String> {
        let state = b.state.as_str().to_owned();
        let year = optional(b.year.as_ref());
        vec![
            b.registration,
            b.layout,
            year,
            state,
            word(b.wheelchair_lift),
        ]
    }

    fn parse(fields: &Fields<'_>) -> Result<Bus, Fault> {
        let state = fields.optional("state", "write in_service, workshop or retired")?;
        Ok(Bus {
            registration: fields.needed("registration")?.to_owned(),
            layout: fields.needed("layout")?.to_owned(),
            year: fields.optional("year", "write a year like 2019")?,
            state: state.unwrap_or(BusState::InService),
            wheelchair_lift: fields.yes_no("wheelchair_lift", false)?,
        })
    }
}
