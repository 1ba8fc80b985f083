//! The routes: schedules, trips on their day, buses and crews.

mod assign;
mod schedules;
mod settings;
mod trips;

use axum::http::StatusCode;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::crew::AssignError;
use super::state::Refusal;
use super::trips::TripError;
use crate::http::{Api, Problem};

/// Every route of this service.
pub fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(trips::list))
        .routes(routes!(trips::show))
        .routes(routes!(trips::events))
        .routes(routes!(trips::board))
        .routes(routes!(trips::depart))
        .routes(routes!(trips::arrive))
        .routes(routes!(trips::cancel))
        .routes(routes!(trips::delay))
        .routes(routes!(assign::bus))
        .routes(routes!(assign::show_crew, assign::crew))
        .routes(routes!(settings::show, settings::change))
        .routes(routes!(schedules::list, schedules::create))
        .routes(routes!(
            schedules::show,
            schedules::replace,
            schedules::remove
        ))
        .routes(routes!(schedules::expand))
}

impl From<TripError> for Problem {
    fn from(error: TripError) -> Self {
        let detail = error.to_string();
        match error {
            TripError::Unknown(_) => Self::not_found(detail),
            TripError::Refused(refusal) => {
                let unprocessable =
                    |kind, title| Self::new(StatusCode::UNPROCESSABLE_ENTITY, kind, title, &detail);
                match refusal {
                    Refusal::NotFrom { state, .. } => {
                        Self::conflict("trip-state", "Not in this state", detail)
                            .with("state", state.as_str())
                    }
                    Refusal::ToCome(_) => unprocessable("to-come", "Has not happened"),
                    Refusal::TooEarly(_) | Refusal::ArrivesBeforeItLeft(_) => {
                        unprocessable("wrong-moment", "Cannot have happened then")
                    }
                    Refusal::NoSuchDelay => unprocessable("wrong-delay", "No such delay"),
                }
            }
            TripError::Aftersale(error) => error.into(),
            TripError::Db(error) => error.into(),
        }
    }
}

impl From<AssignError> for Problem {
    fn from(error: AssignError) -> Self {
        let detail = error.to_string();
        let unprocessable =
            |kind, title| Self::new(StatusCode::UNPROCESSABLE_ENTITY, kind, title, &detail);
        match error {
            AssignError::UnknownBus(_) => unprocessable("unknown-bus", "No such bus"),
            AssignError::Twice(_) => unprocessable("crew-twice", "Named twice"),
            AssignError::TooMany => unprocessable("crew-too-large", "Too many people"),
            AssignError::NotInService { .. } => {
                Self::conflict("bus-not-in-service", "Not in service", detail)
            }
            AssignError::OtherLayout { has, wants, .. } => {
                Self::conflict("other-layout", "Other seats", detail)
                    .with("has", has)
                    .with("wants", wants)
            }
            AssignError::BusElsewhere { trip, .. } => {
                Self::conflict("bus-elsewhere", "Somewhere else", detail).with("trip", trip.0)
            }
            AssignError::PersonElsewhere { person, trip } => {
                Self::conflict("person-elsewhere", "Somewhere else", detail)
                    .with("person", person.to_string())
                    .with("trip", trip.0)
            }
            AssignError::Raced => Self::conflict("assigned-meanwhile", "Raced", detail),
            AssignError::Over(state) => Self::conflict("trip-state", "Not in this state", detail)
                .with("state", state.as_str()),
            AssignError::Db(error) => error.into(),
        }
    }
}

#[cfg(test)]
mod tests;
