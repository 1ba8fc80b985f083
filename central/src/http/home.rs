//! The hub's page: its state for a person in the office. Every company is on it, so the hub
//! listens on loopback unless told otherwise.

use std::fmt::Write as _;

use axum::extract::State;
use axum::http::header;
use axum::response::{Html, IntoResponse};
use domain::time::Instant;

use super::Api;
use super::front::PAGE_POLICY;
use super::problem::Problem;
use crate::clock;
use crate::views::{self, CompanyHome, NodeView, TripHome};

const STYLE: &str = "\
:root{color-scheme:light dark}\
body{font:16px/1.5 system-ui,sans-serif;max-width:64rem;margin:2rem auto;padding:0 1rem}\
h1{font-size:1.5rem}h2{margin-top:2.5rem}h3{margin:1.5rem 0 .25rem}\
table{border-collapse:collapse;width:100%}caption{text-align:left;color:GrayText}\
th,td{text-align:left;padding:.3rem .8rem .3rem 0;border-bottom:1px solid color-mix(in srgb,CanvasText 20%,Canvas)}\
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}\
.warn{font-weight:600}.none{color:GrayText}";

/// Text for between tags and inside quoted attributes.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

/// `3 min`, for people.
fn ago(now: Instant, then_ms: i64) -> String {
    let s = (now.0 - then_ms).max(0) / 1000;
    match s {
        0..60 => format!("{s} s ago"),
        60..3600 => format!("{} min ago", s / 60),
        3600..172_800 => format!("{} h ago", s / 3600),
        _ => format!("{} days ago", s / 86_400),
    }
}

/// The page.
pub async fn page(State(api): State<Api>) -> Result<impl IntoResponse, Problem> {
    let now = clock::now();
    let mut companies = vec![];
    for company in views::all_companies(&api.db).await? {
        let mut tx = api.db.tenant(company).await?;
        companies.push(views::home(&mut tx, now).await?);
    }
    let policy = [(header::CONTENT_SECURITY_POLICY, PAGE_POLICY)];
    Ok((policy, Html(render(&companies, now))))
}

fn render(companies: &[CompanyHome], now: Instant) -> String {
    let mut html = format!(
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport \
         content=\"width=device-width\"><title>Mwimule hub</title><style>{STYLE}</style>\
         <h1>Mwimule hub</h1><p>As of {now}. <a href=\"/openapi.json\">API</a></p>"
    );
    if companies.is_empty() {
        html.push_str(
            "<p class=none>No company yet. Make one with <code>mwimule-hub company create</code>.",
        );
    }
    for company in companies {
        let _ = write!(html, "<h2>{}</h2>", escaped(&company.name));
        nodes_table(&mut html, &company.nodes, now);
        trips_table(&mut html, company);
    }
    html
}

fn nodes_table(html: &mut String, nodes: &[NodeView], now: Instant) {
    html.push_str("<h3>Nodes</h3>");
    if nodes.is_empty() {
        html.push_str(
            "<p class=none>No device yet. Let one in with <code>mwimule-hub node enrol</code>.</p>",
        );
        return;
    }
    html.push_str(
        "<table><tr><th>Name<th>Kind<th>Stop<th>Last contact<th class=n>Stored\
         <th class=n>Unsynced<th>State</tr>",
    );
    for node in nodes {
        let contact = node.last_contact_ms.map(|ms| ago(now, ms));
        let mut state = vec![];
        if node.enrolled_at.is_none() {
            state.push("waiting for enrolment".to_owned());
        }
        if node.frozen {
            state.push("frozen: its log forked".to_owned());
        }
        if node.revoked {
            state.push("revoked".to_owned());
        }
        if node.quarantined > 0 {
            state.push(format!("{} events wait for a person", node.quarantined));
        }
        let _ = write!(
            html,
            "<tr><td>{}<td>{}<td>{}<td>{}<td class=n>{}<td class=n>{}<td class=warn>{}</tr>",
            escaped(&node.name),
            escaped(&node.kind),
            escaped(node.stop.as_deref().unwrap_or("–")),
            contact.as_deref().unwrap_or("never"),
            node.stored_seq,
            node.unsynced,
            escaped(&state.join(", ")),
        );
    }
    html.push_str("</table>");
}

fn trips_table(html: &mut String, company: &CompanyHome) {
    let _ = write!(html, "<h3>Trips of {}</h3>", escaped(&company.today));
    if company.trips.is_empty() {
        html.push_str(
            "<p class=none>None today. Bring a timetable in with <code>mwimule-hub gtfs \
             import</code>.</p>",
        );
        return;
    }
    let _ = write!(
        html,
        "<p>{} trips, {} seats sold.</p><table><tr><th class=n>No.<th>Leaves<th>Route<th>To\
         <th class=n>Seats<th class=n>Sold<th class=n>Leased<th>Validator</tr>",
        company.trips.len(),
        company.trips.iter().map(|t| t.sold).sum::<i64>(),
    );
    for trip in &company.trips {
        trip_row(html, trip);
    }
    html.push_str("</table>");
}

fn trip_row(html: &mut String, trip: &TripHome) {
    let _ = write!(
        html,
        "<tr><td class=n><a href=\"/trips/{0}/seats\">{0}</a><td>{1}<td>{2}<td>{3}\
         <td class=n>{4}<td class=n>{5}<td class=n>{6}<td>{7}</tr>",
        trip.trip,
        escaped(&trip.leaves),
        escaped(&trip.route),
        escaped(&trip.headsign),
        trip.seat_count,
        trip.sold,
        trip.leased,
        escaped(trip.validator.as_deref().unwrap_or("–")),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_a_company_is_called_stays_text() {
        let company = CompanyHome {
            name: "<script>alert('x')</script> & \"Sons\"".to_owned(),
            today: "2026-11-22".to_owned(),
            nodes: vec![],
            trips: vec![],
        };
        let html = render(&[company], Instant(0));
        assert!(!html.contains("<script>"), "{html}");
        assert!(
            html.contains("&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt; &amp; &quot;Sons&quot;")
        );
        assert!(html.contains("No device yet") && html.contains("None today"));
    }

    #[test]
    fn a_hub_without_companies_says_how_to_make_one() {
        assert!(render(&[], Instant(0)).contains("mwimule-hub company create"));
    }
}
