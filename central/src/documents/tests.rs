use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use super::sheet::{self, Size};
use super::{Papers, calendar, load, qr};
use crate::http::tests::site::Site;

const PROOF: &str = "phone=%2B260970000001";

fn run(program: &str, arguments: &[&str]) -> String {
    let done = Command::new(program).args(arguments).output().unwrap();
    assert!(done.status.success(), "{program} {arguments:?}: {done:?}");
    String::from_utf8(done.stdout).unwrap()
}

fn codes_in(picture: &Path) -> Vec<String> {
    let picture = picture.to_str().unwrap();
    let read = run(
        "zbarimg",
        &["--raw", "-q", "-Sdisable", "-Sqrcode.enable", picture],
    );
    read.lines().map(str::to_owned).collect()
}

/// What a stranger's reader finds on each page of the printed file.
fn codes_on_pages(pdf: &[u8]) -> Vec<Vec<String>> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tickets.pdf");
    std::fs::write(&file, pdf).unwrap();
    let prefix = folder.path().join("page");
    run(
        "pdftoppm",
        &[
            "-r",
            "200",
            "-png",
            file.to_str().unwrap(),
            prefix.to_str().unwrap(),
        ],
    );
    let mut pages: Vec<_> = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "png"))
        .collect();
    pages.sort();
    pages.iter().map(|page| codes_in(page)).collect()
}

fn qr_texts(papers: &Papers) -> BTreeSet<String> {
    papers.tickets.iter().map(|t| t.ticket.to_qr()).collect()
}

async fn booked(site: &Site, adults: usize) -> (String, Papers) {
    let (company, _) = site.company("A").await;
    let trip = site.trip("A").await;
    let booked = site.book(trip, "papers", adults).await.json();
    let mut tx = site.db.db.tenant(company).await.unwrap();
    let id = booked["booking"].as_str().unwrap().parse().unwrap();
    let papers = load(&mut tx, &site.api.keys, id, |_, _| None)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(papers.tickets.len(), adults);
    (booked["reference"].as_str().unwrap().to_owned(), papers)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_printed_code_reads_back_as_its_tickets_text() {
    let site = Site::new().await;
    let (_, mut papers) = booked(&site, 5).await;
    for size in [Size::A6, Size::A4] {
        let pages = codes_on_pages(&sheet::pdf(&papers, size).unwrap());
        let per_page: Vec<usize> = pages.iter().map(Vec::len).collect();
        let wanted: &[usize] = match size {
            Size::A6 => &[1; 5],
            Size::A4 => &[4, 1],
        };
        assert_eq!(per_page, wanted);
        assert_eq!(
            pages.into_iter().flatten().collect::<BTreeSet<_>>(),
            qr_texts(&papers)
        );
    }
    papers.tickets.truncate(1);
    let alone = codes_on_pages(&sheet::pdf(&papers, Size::A4).unwrap());
    assert_eq!(alone, [qr_texts(&papers).into_iter().collect::<Vec<_>>()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn names_of_any_length_and_script_leave_the_code_readable() {
    let site = Site::new().await;
    let (_, mut papers) = booked(&site, 1).await;
    let whole = qr_texts(&papers);
    papers.company = "Ŵałęsa & Søñs — Ônibus Expressé ".repeat(20);
    papers.conditions = "Só é válido hoje. ".repeat(400);
    for names in [
        "É".repeat(500),
        "Chililabombwe Łódź ".repeat(30),
        "\u{0}\n\u{202e}客車 🚌 ".repeat(50),
        String::new(),
    ] {
        let ticket = &mut papers.tickets[0];
        ticket.from.stop.clone_from(&names);
        ticket.to.stop.clone_from(&names);
        ticket.passenger = Some(names.clone());
        ticket.seat_label.clone_from(&names);
        ticket.headsign.clone_from(&names);
        for size in [Size::A6, Size::A4] {
            let pages = codes_on_pages(&sheet::pdf(&papers, size).unwrap());
            let read: BTreeSet<String> = pages.into_iter().flatten().collect();
            assert_eq!(read, whole, "{names:?}");
        }
        let picture = qr::png(&papers.tickets[0], &papers.reference, true).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ticket.png");
        std::fs::write(&file, picture).unwrap();
        assert_eq!(codes_in(&file), whole.iter().cloned().collect::<Vec<_>>());
        let entry = calendar::ics(&papers);
        assert!(entry.split("\r\n").all(|line| line.len() <= 75), "{entry}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn papers_are_for_who_proves_the_booking_theirs() {
    let site = Site::new().await;
    let (reference, papers) = booked(&site, 2).await;
    let ticket = &papers.tickets[0].ticket;
    let path = format!("/bookings/{reference}/tickets/{}", ticket.claim.id);
    let text = site.get(&format!("{path}.txt?{PROOF}")).await;
    assert_eq!((text.status, text.text), (200, ticket.to_qr()));
    let entry = site
        .get(&format!("/bookings/{reference}/calendar.ics?{PROOF}"))
        .await;
    assert_eq!(entry.content_type, "text/calendar; charset=utf-8");
    assert_eq!(
        entry.text.matches("BEGIN:VEVENT").count(),
        1,
        "{}",
        entry.text
    );
    assert!(entry.text.contains("DTSTART:20340502T"), "{}", entry.text);
    for wrong in [
        format!("{path}.txt?phone=1"),
        format!("{path}.gif?{PROOF}"),
        format!("{path}?{PROOF}"),
        format!("/bookings/{reference}/tickets.pdf?phone=%2B260970000002"),
        format!("/bookings/0000-0000/calendar.ics?{PROOF}"),
    ] {
        let answer = site.get(&wrong).await;
        assert_eq!(
            (answer.status, answer.problem().as_str()),
            (404, "not-found"),
            "{wrong}"
        );
    }
}
