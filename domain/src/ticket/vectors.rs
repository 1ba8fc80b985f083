//! The published vectors of `docs/ticket-format`. `MWIMULE_WRITE_VECTORS=1` writes them anew.

use ed25519_dalek::{Signer, SigningKey};
use serde_json::{Value, json};

use super::*;
use crate::codec::to_hex;
use crate::ids::{
    Issuer, LayoutVersion, LeaseEpoch, LeaseNo, NodeId, SaleOrdinal, SeatNo, StopSeq, TicketId,
    TripId,
};
use crate::passenger::PassengerClass;
use crate::time::Instant;
use crate::trip::LEGS_MAX;

const SEED: [u8; 32] = [0x11; 32];
const OTHER_SEED: [u8; 32] = [0x22; 32];
const TRIP_KEY: [u8; 32] = [0x33; 32];
const STATION: Issuer = Issuer::Node(NodeId::from_bytes([0x44; 16]));
const GROUP_ORDER: [u8; 32] = [
    0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
];

fn key() -> SigningKey {
    SigningKey::from_bytes(&SEED)
}

fn records() -> [KeyRecord; 2] {
    [
        KeyRecord::signing(STATION, key().verifying_key()),
        KeyRecord::mac(STATION, adult().trip, &TRIP_KEY),
    ]
}

fn adult() -> TicketClaim {
    TicketClaim {
        id: TicketId(uuid::uuid!("019aac1e-5c00-7abc-8def-0123456789ab")),
        trip: TripId(4021),
        seat: SeatNo(17),
        from: StopSeq(0),
        to: StopSeq(3),
        class: PassengerClass::Adult,
        ordinal: SaleOrdinal(1),
        issued_at: Instant(1_795_384_800_000),
        lease: Some(TicketLease {
            no: LeaseNo(2),
            epoch: LeaseEpoch(7),
        }),
        layout_version: LayoutVersion(1),
        test: false,
    }
}

fn by_hub() -> TicketClaim {
    TicketClaim {
        lease: None,
        class: PassengerClass::Child,
        ..adult()
    }
}

fn largest() -> TicketClaim {
    TicketClaim {
        id: TicketId::from_bytes([0xff; 16]),
        trip: TripId(u64::MAX),
        seat: SeatNo(u16::MAX),
        from: StopSeq(LEGS_MAX - 1),
        to: StopSeq(LEGS_MAX),
        class: PassengerClass::Prm,
        ordinal: SaleOrdinal(u16::MAX),
        issued_at: Instant(i64::from(u32::MAX) * 1000),
        lease: Some(TicketLease {
            no: LeaseNo(u16::MAX),
            epoch: LeaseEpoch(u32::MAX),
        }),
        layout_version: LayoutVersion(u16::MAX.into()),
        test: true,
    }
}

fn signed(claim: &TicketClaim) -> SignedTicket {
    sign_ticket(claim, signing_kid(&key().verifying_key()), &key())
}

fn maced(claim: &TicketClaim) -> SignedTicket {
    let mac_key = mac_key(&TRIP_KEY, claim.trip, STATION);
    mac_ticket(claim, mac_kid(claim.trip, STATION), &mac_key)
}

fn payload(claim: &TicketClaim) -> Vec<u8> {
    let mut e = minicbor::Encoder::new(Vec::new());
    claim.encode_payload(&mut e).unwrap();
    e.into_writer()
}

fn qr(message: &[u8]) -> String {
    let mut text = QR_PREFIX.to_owned();
    base45::encode(message, &mut text);
    text
}

/// A message around any bytes at all, with a signature that is good for them.
fn sealed(protected: &[u8], unprotected: &[u8], payload: &[u8]) -> String {
    let mut e = minicbor::Encoder::new(Vec::new());
    e.array(4).unwrap().str("Signature1").unwrap();
    e.bytes(protected).unwrap().bytes(&[]).unwrap();
    e.bytes(payload).unwrap();
    let signature = key().sign(e.writer()).to_bytes();
    let mut e = minicbor::Encoder::new(vec![0xd2, 0x84]);
    e.bytes(protected).unwrap();
    e.writer_mut().extend(unprotected);
    e.bytes(payload).unwrap().bytes(&signature).unwrap();
    qr(&e.into_writer())
}

fn protected(alg: u8, typ: u64) -> Vec<u8> {
    let kid = signing_kid(&key().verifying_key());
    [
        &[0xa3, 0x01, alg, 0x04, 0x44],
        &kid.0[..],
        &[0x10, typ as u8],
    ]
    .concat()
}

fn good(name: &str, ticket: &SignedTicket) -> Value {
    let claim = &ticket.claim;
    json!({
        "name": name,
        "qr": ticket.to_qr(),
        "message": to_hex(&ticket.to_message()),
        "authenticated": to_hex(&cose::to_be_signed(claim, ticket.kid, ticket.suite())),
        "kid": ticket.kid.to_string(),
        "short_code": ShortCode::of(claim, &KeyRecord::mac(STATION, claim.trip, &TRIP_KEY))
            .map(|code| code.to_string()),
        "claim": {
            "id": claim.id.to_string(),
            "trip": claim.trip.0,
            "issued_at_s": claim.issued_at.as_secs(),
            "seat": claim.seat.0,
            "from": claim.from.0,
            "to": claim.to.0,
            "class": claim.class.as_str(),
            "ordinal": claim.ordinal.0,
            "layout_version": claim.layout_version.0,
            "test": claim.test,
            "lease_no": claim.lease.map(|lease| lease.no.0),
            "lease_epoch": claim.lease.map(|lease| lease.epoch.0),
        },
    })
}

fn bad_texts() -> Vec<(&'static str, String)> {
    let text = signed(&adult()).to_qr();
    let message = signed(&adult()).to_message();
    vec![
        ("empty", String::new()),
        ("only the prefix", QR_PREFIX.to_owned()),
        ("another version's prefix", text.replacen("MW1:", "MW2:", 1)),
        (
            "lower case",
            format!("{QR_PREFIX}{}", text[4..].to_lowercase()),
        ),
        ("space after the text", format!("{text} ")),
        ("last character missing", text[..text.len() - 1].to_owned()),
        (
            "Base45 group above 65535",
            format!("{}:::", &text[..text.len() - 3]),
        ),
        ("longer than any ticket", format!("{text}{text}")),
        ("byte after the message", qr(&[&message[..], &[0]].concat())),
        ("no tag", qr(&message[1..])),
        (
            "tag 17 on a signature",
            qr(&[&[0xd1], &message[1..]].concat()),
        ),
        (
            "tag 18 in two bytes",
            qr(&[&[0xd8, 0x12], &message[1..]].concat()),
        ),
    ]
}

fn bad_contents() -> Vec<(&'static str, String)> {
    let normal = protected(0x27, crate::typ::TICKET);
    let bytes = payload(&adult());
    let around = |payload: &[u8]| sealed(&normal, &[0xa0], payload);
    assert_eq!(around(&bytes), signed(&adult()).to_qr());
    let swapped = {
        let kid = &normal[3..9];
        [&[0xa3], kid, &normal[1..3], &normal[9..]].concat()
    };
    let mut no_such_class = bytes.clone();
    assert_eq!(no_such_class[34], 0, "the class");
    no_such_class[34] = 4;
    vec![
        (
            "typ of a grant",
            sealed(&protected(0x27, crate::typ::GRANT), &[0xa0], &bytes),
        ),
        (
            "MAC algorithm over a signature",
            sealed(&protected(0x05, 1), &[0xa0], &bytes),
        ),
        (
            "header labels out of order",
            sealed(&swapped, &[0xa0], &bytes),
        ),
        (
            "unprotected header in use",
            sealed(&normal, &[0xa1, 0x04, 0x41, 0], &bytes),
        ),
        (
            "integer in more bytes than it needs",
            around(&[&bytes[..20], &[0x1a, 0, 0], &bytes[21..]].concat()),
        ),
        (
            "map of open length",
            around(&[&[0xbf], &bytes[1..], &[0xff]].concat()),
        ),
        (
            "byte after the payload",
            around(&[&bytes[..], &[0]].concat()),
        ),
        (
            "payload key 4",
            around(&[&[0xa5], &bytes[1..], &[0x04, 0x00]].concat()),
        ),
        ("no such passenger class", around(&no_such_class)),
        (
            "journey of no leg",
            around(&payload(&TicketClaim {
                to: StopSeq(0),
                ..adult()
            })),
        ),
        (
            "journey past stop 64",
            around(&payload(&TicketClaim {
                to: StopSeq(65),
                ..adult()
            })),
        ),
    ]
}

fn bad_proofs() -> Vec<(&'static str, String)> {
    let kid = signing_kid(&key().verifying_key());
    let other = SigningKey::from_bytes(&OTHER_SEED);
    let good = signed(&adult());
    let mut high = good.to_message();
    let mut carry = 0;
    let at = high.len() - 32;
    for (byte, add) in high[at..].iter_mut().zip(GROUP_ORDER) {
        let sum = u16::from(*byte) + u16::from(add) + carry;
        *byte = sum as u8;
        carry = sum >> 8;
    }
    let moved = TicketClaim {
        seat: SeatNo(18),
        ..adult()
    };
    let altered = SignedTicket {
        claim: moved,
        ..good
    };
    let elsewhere = TicketClaim {
        trip: TripId(4022),
        ..adult()
    };
    let mac_kid = mac_kid(adult().trip, STATION);
    let mac_key = mac_key(&TRIP_KEY, adult().trip, STATION);
    vec![
        (
            "signed with another key",
            sign_ticket(&adult(), kid, &other).to_qr(),
        ),
        ("seat changed after signing", altered.to_qr()),
        ("signature with the group order added", qr(&high)),
        (
            "MAC keyed with the public key",
            mac_ticket(&adult(), kid, key().verifying_key().as_bytes()).to_qr(),
        ),
        (
            "signature under the name of a MAC key",
            sign_ticket(&adult(), mac_kid, &key()).to_qr(),
        ),
        (
            "MAC key of another trip",
            mac_ticket(&elsewhere, mac_kid, &mac_key).to_qr(),
        ),
        (
            "key that is not in the bundle",
            sign_ticket(&adult(), signing_kid(&other.verifying_key()), &other).to_qr(),
        ),
    ]
}

fn refusal(text: &str) -> String {
    let ticket = match parse_qr(text) {
        Ok(ticket) => ticket,
        Err(error) => return error.to_string(),
    };
    let records = records();
    let Some(record) = records.iter().find(|record| record.kid == ticket.kid) else {
        return "no key of this name".to_owned();
    };
    verify(&ticket, record).unwrap_err().to_string()
}

fn vectors() -> Value {
    let public = to_hex(key().verifying_key().as_bytes());
    let [signing, mac] = records();
    let good = [
        good("adult from a station", &signed(&adult())),
        good("child from the hub: no lease", &signed(&by_hub())),
        good(
            "largest; a test ticket, never good for travel",
            &signed(&largest()),
        ),
        good("adult, with a MAC", &maced(&adult())),
    ];
    let bad: Vec<Value> = [bad_texts(), bad_contents(), bad_proofs()]
        .concat()
        .into_iter()
        .map(|(name, text)| json!({"name": name, "qr": text, "why": refusal(&text)}))
        .collect();
    json!({
        "key_bundle": [{"kid": signing.kid.to_string(), "alg": "EdDSA", "public_key": public}],
        "mac_keys": [{
            "kid": mac.kid.to_string(),
            "trip": adult().trip.0,
            "issuer": to_hex(&[0x44; 16]),
            "trip_key": to_hex(&TRIP_KEY),
            "key": to_hex(&mac_key(&TRIP_KEY, adult().trip, STATION)),
        }],
        "private_key_of_the_bundle": to_hex(&SEED),
        "good": good,
        "bad": bad,
    })
}

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "writes the published file when asked to"
)]
fn the_published_vectors_are_what_the_code_makes() {
    let made = vectors();
    if std::env::var_os("MWIMULE_WRITE_VECTORS").is_some() {
        let path = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../docs/ticket-format/vectors.json"
        );
        let text = serde_json::to_string_pretty(&made).unwrap();
        std::fs::write(path, text + "\n").unwrap();
        return;
    }
    let published: Value =
        serde_json::from_str(include_str!("../../../docs/ticket-format/vectors.json")).unwrap();
    assert_eq!(
        made, published,
        "run this test with MWIMULE_WRITE_VECTORS=1 and review the change"
    );
}
